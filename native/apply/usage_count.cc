#include "apply/usage_count.h"

#include <fcntl.h>

#include <cerrno>

#include "apply/name.h"

namespace ociunpack {

Status UsageCount::add(int fd, const DirHandle& directory, std::string_view name) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return system_error(errno, "fstat", path_in(directory, name));
  add(status);
  return {};
}

Status UsageCount::add(const DirHandle& directory, std::string_view name) {
  struct stat status {};
  if (::fstatat(directory.fd.get(), CName(name).c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return system_error(errno, "fstatat", path_in(directory, name));
  }
  add(status);
  return {};
}

std::optional<DiskUsage> UsageCount::sum() const {
  if (lost_.load(std::memory_order_relaxed)) return std::nullopt;
  return DiskUsage{.bytes = bytes_.load(), .inodes = inodes_.load()};
}

void UsageCount::add(const struct stat& status) {
  bytes_.fetch_add(static_cast<uint64_t>(status.st_blocks) * kStatBlockBytes,
                   std::memory_order_relaxed);
  inodes_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace ociunpack
