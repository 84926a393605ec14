#include "host/xattr.h"

#include <sys/xattr.h>

#include <cerrno>

namespace ociunpack {
namespace {

constexpr size_t kMaxValueBytes = 65536;  // XATTR_SIZE_MAX, xattr(7)

}  // namespace

Result<std::optional<std::string>> read_xattr(const std::string& path, const std::string& name) {
  std::string value(kMaxValueBytes, '\0');
  const ssize_t length = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  if (length < 0) {
    if (errno == ENODATA || errno == EOPNOTSUPP) return std::optional<std::string>();
    return system_error(errno, "lgetxattr", path, name);
  }
  value.resize(static_cast<size_t>(length));
  return std::optional<std::string>(std::move(value));
}

Status write_xattr(const std::string& path, const std::string& name, const std::string& value) {
  if (::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) {
    return system_error(errno, "lsetxattr", path, name);
  }
  return {};
}

}  // namespace ociunpack
