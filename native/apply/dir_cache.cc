#include "apply/dir_cache.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "apply/name.h"
#include "base/sys.h"

namespace ociunpack {
namespace {

constexpr size_t kMost = 1024;

size_t descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  return std::min<rlim_t>(limit.rlim_cur, size_t{1} << 20);
}

// Several layers are unpacked at once, and the process has files of its own.
size_t default_capacity() { return std::clamp<size_t>(descriptor_limit() / 32, 8, kMost); }

Result<DirRef> open_child(const DirHandle& parent, std::string_view name) {
  UniqueFd fd(
      sys::openat(parent.fd.get(), CName(name).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (!fd.valid()) return system_error(errno, "openat", path_in(parent, name));
  return std::make_shared<const DirHandle>(DirHandle{std::move(fd), path_in(parent, name)});
}

}  // namespace

size_t layers_at_once() {
  // Of each its blob, a lock and the root, too.
  return std::max<size_t>(descriptor_limit() / 2 / (default_capacity() + 4), 2);
}

size_t files_at_once(size_t writers) {
  return std::max<size_t>(descriptor_limit() / 4 / writers, 1);
}

std::string path_in(const DirHandle& directory, std::string_view name) {
  std::string path = directory.path;
  if (!path.empty()) path.push_back('/');
  return path.append(name);
}

DirCache::DirCache(size_t capacity) : capacity_(capacity == 0 ? default_capacity() : capacity) {}

DirRef DirCache::find(NodeId id) {
  const auto slot = slots_.find(id);
  if (slot == slots_.end()) return nullptr;
  if (id != kRootNode) uses_.splice(uses_.begin(), uses_, slot->second.use);
  return slot->second.directory;
}

DirRef DirCache::insert(NodeId id, DirRef directory) {
  auto [slot, is_new] = slots_.try_emplace(id);
  DirRef gone = std::exchange(slot->second.directory, std::move(directory));
  if (id == kRootNode) return gone;
  if (!is_new) {
    uses_.splice(uses_.begin(), uses_, slot->second.use);
    return gone;
  }
  uses_.push_front(id);
  slot->second.use = uses_.begin();
  if (uses_.size() > capacity_) {
    const auto last = slots_.find(uses_.back());
    gone = std::move(last->second.directory);
    slots_.erase(last);
    uses_.pop_back();
  }
  return gone;
}

void DirCache::put(NodeId id, DirRef directory) {
  DirRef gone;
  const std::lock_guard lock(mutex_);
  gone = insert(id, std::move(directory));
}

void DirCache::erase(NodeId id) {
  DirRef gone;
  const std::lock_guard lock(mutex_);
  const auto slot = slots_.find(id);
  if (slot == slots_.end() || id == kRootNode) return;
  gone = std::move(slot->second.directory);
  uses_.erase(slot->second.use);
  slots_.erase(slot);
}

Result<DirRef> DirCache::get(const LayerTree& tree, NodeId id) {
  std::vector<NodeId> closed;
  DirRef directory;
  {
    const std::lock_guard lock(mutex_);
    for (NodeId at = id; !(directory = find(at)); at = tree.node(at).parent) {
      if (at == kRootNode) {
        return input_error(Code::ERR_INTERNAL, "directory cache", tree.path(id), "it has no root");
      }
      closed.push_back(at);
    }
  }
  while (!closed.empty()) {
    OCIUNPACK_ASSIGN(directory, open_child(*directory, tree.node(closed.back()).name));
    put(closed.back(), directory);
    closed.pop_back();
  }
  return directory;
}

}  // namespace ociunpack
