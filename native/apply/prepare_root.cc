#include "apply/prepare_root.h"

#include <fcntl.h>
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

// ext4 with inodes of 128 bytes has whole seconds, others have steps between. The atime stands for
// the mtime, which is the root's own.
Result<bool> keeps_nanoseconds(int fd) {
  const timespec times[2] = {{.tv_sec = 1, .tv_nsec = 1}, {.tv_sec = 0, .tv_nsec = UTIME_OMIT}};
  if (sys::futimens(fd, times) != 0) return system_error(errno, "futimens", "");
  struct stat status {};
  if (::fstat(fd, &status) != 0) return system_error(errno, "fstat", "");
  return status.st_atim.tv_nsec == 1;
}

// Seen by what is listed beside the root, which is at least itself: "." and ".." tell nothing, all
// file systems know what those are.
Result<bool> lists_types(int fd) {
  // Not by way of sys: here EACCES is no fault.
  UniqueFd above(::openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!above.valid() && errno == EACCES) return true;  // not known: not ours to read
  if (!above.valid()) return system_error(errno, "openat", "..");
  struct stat own {
  }, other{};
  if (::fstat(fd, &own) != 0 || ::fstat(above.get(), &other) != 0) {
    return system_error(errno, "fstat", "..");
  }
  if (own.st_dev != other.st_dev) return true;  // not known: another file system
  OCIUNPACK_ASSIGN(DirStream stream, DirStream::open(std::move(above), ".."));
  OCIUNPACK_ASSIGN(const dirent* entry, stream.next(".."));
  return entry == nullptr || entry->d_type != DT_UNKNOWN;
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

Status probe_root(const DirHandle& root, ApplyContext* context) {
  OCIUNPACK_ASSIGN(context->fine_times, keeps_nanoseconds(root.fd.get()));
  OCIUNPACK_ASSIGN(context->lists_types, lists_types(root.fd.get()));
  return {};
}

}  // namespace ociunpack
