#include "base/xattrs.h"

#include <sys/xattr.h>

#include <cerrno>
#include <cstring>

namespace ociunpack {

std::string magic_path(int directory, std::string_view name) {
  return ("/proc/self/fd/" + std::to_string(directory) + "/").append(name);
}

Status for_each_xattr(
    int fd, std::string_view name, const std::string& path, bool (*wanted)(std::string_view xattr),
    const std::function<Status(const char* xattr, std::string_view value)>& take) {
  // Most that a list of names, and a value, can have (xattr(7)).
  thread_local std::string names(65536, '\0');
  thread_local std::string value(65536, '\0');
  const std::string magic = name.empty() ? "" : magic_path(fd, name);
  const ssize_t length = magic.empty() ? ::flistxattr(fd, names.data(), names.size())
                                       : ::llistxattr(magic.c_str(), names.data(), names.size());
  if (length < 0) return errno == ENOTSUP ? Status() : system_error(errno, "listxattr", path);
  for (size_t at = 0; at < static_cast<size_t>(length);) {
    const char* xattr = names.c_str() + at;
    at += std::strlen(xattr) + 1;
    if (!wanted(xattr)) continue;
    const ssize_t size = magic.empty()
                             ? ::fgetxattr(fd, xattr, value.data(), value.size())
                             : ::lgetxattr(magic.c_str(), xattr, value.data(), value.size());
    if (size < 0 && errno == ENODATA) continue;  // taken away meanwhile
    if (size < 0) return system_error(errno, "getxattr", path, xattr);
    OCIUNPACK_TRY(take(xattr, {value.data(), static_cast<size_t>(size)}));
  }
  return {};
}

}  // namespace ociunpack
