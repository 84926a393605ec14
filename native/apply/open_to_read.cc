#include "apply/open_to_read.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/sys.h"

namespace ociunpack {

Result<UniqueFd> open_to_read(int directory, const char* name, const std::string& path) {
  UniqueFd fd(sys::openat(directory, name, O_RDONLY | O_NOFOLLOW));
  if (fd.valid()) return fd;
  const Error refused = system_error(errno, "openat", path);
  if (refused.error_number != EACCES) return refused;
  // By a descriptor of the file itself, so that all of this is done to one and the same file,
  // whatever lies under its name by then.
  const UniqueFd own(sys::openat(directory, name, O_PATH | O_NOFOLLOW));
  struct stat status {};
  if (!own.valid() || ::fstat(own.get(), &status) != 0) return refused;
  const mode_t mode = status.st_mode & 07777;
  // SAFETY: chmod(2) without privileges may drop a set-gid bit, and could not give it back.
  if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || (mode & S_IRUSR) != 0 ||
      (mode & S_ISGID) != 0) {
    return refused;
  }
  const std::string magic = "/proc/self/fd/" + std::to_string(own.get());
  if (sys::fchmodat(AT_FDCWD, magic.c_str(), mode | S_IRUSR) != 0) return refused;
  fd = UniqueFd(sys::openat(AT_FDCWD, magic.c_str(), O_RDONLY));
  const int error = errno;
  if (sys::fchmodat(AT_FDCWD, magic.c_str(), mode) != 0) {
    return system_error(errno, "fchmodat", path, "its mode could not be given back");
  }
  if (!fd.valid()) return system_error(error, "openat", path);
  return fd;
}

}  // namespace ociunpack
