// DirCache: open directories of one staging tree, by the tree's NodeId. A directory is opened once,
// relative to its parent and without following a symlink, and all work in it goes through its
// descriptor; the least recently used ones are closed when there are too many.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tree/tree.h"

namespace ociunpack {

struct DirHandle {
  UniqueFd fd;       // O_RDONLY | O_DIRECTORY
  std::string path;  // inside the layer, for messages; "" is the root
  // Held while several files are opened in it: two that create in one directory wait for each other
  // in the kernel, file by file, spinning.
  std::unique_ptr<std::mutex> opening = std::make_unique<std::mutex>();
};
using DirRef = std::shared_ptr<const DirHandle>;

// `directory/name` as it is shown in messages.
std::string path_in(const DirHandle& directory, std::string_view name);

// How many layers may be in work at once, so that half of RLIMIT_NOFILE is enough for their
// directories. Never fewer than two.
size_t layers_at_once();

// How many files each of `writers` may have open at a time, so that a quarter of RLIMIT_NOFILE is
// enough for all of them. Never less than one.
size_t files_at_once(size_t writers);

class DirCache {
 public:
  // At most `capacity` directories are kept open beside those that are in use; 0: a share of
  // RLIMIT_NOFILE.
  explicit DirCache(size_t capacity = 0);

  // The root (kRootNode) is never closed.
  void put(NodeId id, DirRef directory);
  // Opens what is not open (any more), from the nearest open ancestor down. Any thread, while
  // nobody changes the tree.
  Result<DirRef> get(const LayerTree& tree, NodeId id);
  // For directories that are removed: the number may come to stand for another directory.
  void erase(NodeId id);

 private:
  struct Slot {
    DirRef directory;
    std::list<NodeId>::iterator use;
  };
  DirRef find(NodeId id);  // both with mutex_ held
  // Gives back what had to go, to be closed when the mutex is free again.
  [[nodiscard]] DirRef insert(NodeId id, DirRef directory);

  const size_t capacity_;
  std::mutex mutex_;
  std::unordered_map<NodeId, Slot> slots_;
  std::list<NodeId> uses_;  // the most recent first; the root is not in it
};

}  // namespace ociunpack
