// UsageCount: what a layer takes on its file system, counted while it is made. Each inode is looked
// at once its content and xattrs are there, a file through the descriptor that it was written by:
// that costs a fifth of walking the tree afterwards (host/disk_usage.h), and gives the same.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "apply/dir_cache.h"
#include "apply/metadata.h"
#include "base/result.h"
#include "base/usage.h"
#include "tree/tree.h"

namespace ociunpack {

// Any thread.
class UsageCount {
 public:
  // An inode that is no directory, once for each.
  Status add(const Subject& subject);

  // A directory, after its last change so far: its blocks grow with its names.
  Status set_directory(NodeId id, const DirHandle& own);
  bool has_directory(NodeId id) const;

  // Something that was counted is removed, and what it took is not known any more.
  void lose() { lost_.store(true, std::memory_order_relaxed); }

  // Of all of these; nothing after lose(). Once nothing is added any more.
  std::optional<DiskUsage> sum() const;

 private:
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> inodes_{0};
  std::atomic<bool> lost_{false};
  mutable std::mutex mutex_;  // guards directory_bytes_
  std::unordered_map<NodeId, uint64_t> directory_bytes_;
};

// Adds what a writer has made to the count, where there is one.
inline Status count_usage(const ApplyContext& context, const Subject& subject) {
  return context.usage == nullptr ? Status() : context.usage->add(subject);
}

}  // namespace ociunpack
