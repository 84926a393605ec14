#include "host/exchange.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace ociunpack {

Status exchange_paths(const std::string& a, const std::string& b) {
  // By number: glibc has the call only since 2.28, musl not at all.
  if (::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) {
    return {};
  }
  const bool unsupported = errno == EINVAL || errno == ENOSYS;
  Error failed = system_error(errno, "renameat2", a, "exchange with " + b);
  if (unsupported) failed.code = Code::ERR_UNSUPPORTED;
  return failed;
}

}  // namespace ociunpack
