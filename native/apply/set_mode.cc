#include "apply/set_mode.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/sys.h"

namespace ociunpack {
namespace {

Error dropped(const char* call, const std::string& path) {
  return system_error(EPERM, call, path,
                      "the set-gid bit was dropped: CAP_FSETID is needed where the group is not "
                      "one of this process's");
}

}  // namespace

Status set_mode(int fd, mode_t mode, const std::string& path) {
  if (sys::fchmod(fd, mode) != 0) return system_error(errno, "fchmod", path);
  if ((mode & S_ISGID) == 0) return {};
  struct stat made {};
  if (::fstat(fd, &made) != 0) return system_error(errno, "fstat", path);
  if ((made.st_mode & S_ISGID) == 0) return dropped("fchmod", path);
  return {};
}

Status set_mode_at(int directory, const char* name, mode_t mode, const std::string& path) {
  if (sys::fchmodat(directory, name, mode) != 0) return system_error(errno, "fchmodat", path);
  if ((mode & S_ISGID) == 0) return {};
  struct stat made {};
  if (::fstatat(directory, name, &made, AT_SYMLINK_NOFOLLOW) != 0) {
    return system_error(errno, "fstatat", path);
  }
  if ((made.st_mode & S_ISGID) == 0) return dropped("fchmodat", path);
  return {};
}

}  // namespace ociunpack
