#include "apply/prepare_root.h"

#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>

#include "apply/directory.h"
#include "apply/whiteout.h"
#include "base/dir_stream.h"
#include "base/sys.h"

namespace ociunpack {
namespace {

Status check_empty(int fd, const std::string& directory) {
  UniqueFd own(sys::openat(fd, ".", O_RDONLY | O_DIRECTORY));
  if (!own.valid()) return system_error(errno, "openat", directory);
  OCIUNPACK_ASSIGN(DirStream stream, DirStream::open(std::move(own), directory));
  OCIUNPACK_ASSIGN(const dirent* entry, stream.next(directory));
  if (entry == nullptr) return {};
  return input_error(
      Code::ERR_INVALID_ARGUMENT, "unpack", directory,
      "the directory of a layer must be empty, this one has " + std::string(entry->d_name));
}

}  // namespace

Result<DirRef> prepare_root(const ApplyContext& context, const std::string& directory) {
  UniqueFd fd(sys::openat(AT_FDCWD, directory.c_str(), O_RDONLY | O_DIRECTORY));
  if (!fd.valid()) return system_error(errno, "open", directory);
  OCIUNPACK_TRY(check_empty(fd.get(), directory));
  // Inherited ACLs would override the modes of everything created below, a setgid bit its group.
  for (const char* acl : {"system.posix_acl_default", "system.posix_acl_access"}) {
    if (::fremovexattr(fd.get(), acl) != 0 && errno != ENODATA && errno != ENOTSUP) {
      return system_error(errno, "fremovexattr", directory, acl);
    }
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return system_error(errno, "fstat", directory);
  if ((status.st_uid != context.euid || status.st_gid != context.egid) &&
      sys::fchown(fd.get(), context.euid, context.egid) != 0) {
    return system_error(errno, "fchown", directory);
  }
  if (sys::fchmod(fd.get(), kCreatedDirectoryMode) != 0) {
    return system_error(errno, "fchmod", directory);
  }
  auto root = std::make_shared<const DirHandle>(DirHandle{std::move(fd), {}});
  OCIUNPACK_TRY(ensure_not_opaque(*root));
  return root;
}

}  // namespace ociunpack
