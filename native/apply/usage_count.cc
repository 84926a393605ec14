#include "apply/usage_count.h"

#include <fcntl.h>

#include <cerrno>

#include "apply/name.h"

namespace ociunpack {
namespace {

uint64_t bytes_of(const struct stat& status) {
  return static_cast<uint64_t>(status.st_blocks) * kStatBlockBytes;
}

}  // namespace

Status UsageCount::add(const Subject& subject) {
  struct stat status {};
  const int result = subject.fd >= 0
                         ? ::fstat(subject.fd, &status)
                         : ::fstatat(subject.directory.fd.get(), CName(subject.name).c_str(),
                                     &status, AT_SYMLINK_NOFOLLOW);
  if (result != 0) {
    return system_error(errno, subject.fd >= 0 ? "fstat" : "fstatat", subject.path());
  }
  bytes_.fetch_add(bytes_of(status), std::memory_order_relaxed);
  inodes_.fetch_add(1, std::memory_order_relaxed);
  return {};
}

Status UsageCount::set_directory(NodeId id, const DirHandle& own) {
  struct stat status {};
  if (::fstat(own.fd.get(), &status) != 0) return system_error(errno, "fstat", own.path);
  const std::lock_guard lock(mutex_);
  directory_bytes_[id] = bytes_of(status);
  return {};
}

bool UsageCount::has_directory(NodeId id) const {
  const std::lock_guard lock(mutex_);
  return directory_bytes_.contains(id);
}

std::optional<DiskUsage> UsageCount::sum() const {
  if (lost_.load(std::memory_order_relaxed)) return std::nullopt;
  DiskUsage sum{.bytes = bytes_.load(), .inodes = inodes_.load()};
  const std::lock_guard lock(mutex_);
  for (const auto& [id, bytes] : directory_bytes_) sum.bytes += bytes;
  sum.inodes += directory_bytes_.size();
  return sum;
}

}  // namespace ociunpack
