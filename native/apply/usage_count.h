// UsageCount: what a layer takes on its file system, counted while it is made. Each inode is looked
// at once its content and xattrs are there, a file through the descriptor that it was written by:
// that costs a fifth of walking the tree afterwards (host/disk_usage.h), and gives the same.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <optional>
#include <string_view>

#include "apply/dir_cache.h"
#include "base/result.h"
#include "base/usage.h"

namespace ociunpack {

// Any thread.
class UsageCount {
 public:
  // An inode that is no directory: its blocks grow with its names. Once for each.
  Status add(int fd, const DirHandle& directory, std::string_view name);
  Status add(const DirHandle& directory, std::string_view name);

  // Something that was counted is removed, and what it took is not known any more.
  void lose() { lost_.store(true, std::memory_order_relaxed); }

  // Of all that was added; nothing after lose(). Once nothing is added any more.
  std::optional<DiskUsage> sum() const;

 private:
  void add(const struct stat& status);

  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> inodes_{0};
  std::atomic<bool> lost_{false};
};

}  // namespace ociunpack
