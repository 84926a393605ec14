#include "apply/locked_directory.h"

#include <string>

#include "apply/name.h"
#include "base/sys.h"

namespace ociunpack {

bool directory_is_locked(int fd) {
  return ::faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0 && errno == EACCES;
}

bool unlock_directory(int fd) {
  if (!directory_is_locked(fd)) {
    errno = EACCES;
    return false;
  }
  // By the magic link, since fchmod(2) refuses what is opened with O_PATH.
  return ::chmod(("/proc/self/fd/" + std::to_string(fd)).c_str(), S_IRWXU) == 0;
}

UniqueFd open_locked_directory(int parent, std::string_view name) {
  constexpr int kFlags = O_DIRECTORY | O_NOFOLLOW;
  UniqueFd fd(sys::openat(parent, CName(name).c_str(), O_RDONLY | kFlags));
  if (fd.valid() || errno != EACCES) return fd;
  const UniqueFd path(sys::openat(parent, CName(name).c_str(), O_PATH | kFlags));
  if (!path.valid() || !unlock_directory(path.get())) return {};
  return UniqueFd(sys::openat(parent, CName(name).c_str(), O_RDONLY | kFlags));
}

}  // namespace ociunpack
