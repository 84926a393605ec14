#include "apply/dir_cache.h"

#include <sys/resource.h>

#include <algorithm>
#include <vector>

#include "apply/name.h"
#include "base/sys.h"

namespace ociunpack {
namespace {

size_t default_capacity() {
  rlimit limit{};
  constexpr size_t kMost = 1024;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kMost;
  // Several layers are unpacked at once, and the process has files of its own.
  return std::clamp<size_t>(limit.rlim_cur / 32, 8, kMost);
}

Result<DirRef> open_child(const DirHandle& parent, std::string_view name) {
  UniqueFd fd(
      sys::openat(parent.fd.get(), CName(name).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (!fd.valid()) return system_error(errno, "openat", path_in(parent, name));
  return std::make_shared<const DirHandle>(DirHandle{std::move(fd), path_in(parent, name)});
}

}  // namespace

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

void DirCache::insert(NodeId id, DirRef directory) {
  auto [slot, is_new] = slots_.try_emplace(id);
  slot->second.directory = std::move(directory);
  if (id == kRootNode) return;
  if (!is_new) {
    uses_.splice(uses_.begin(), uses_, slot->second.use);
    return;
  }
  uses_.push_front(id);
  slot->second.use = uses_.begin();
  if (uses_.size() > capacity_) {
    slots_.erase(uses_.back());
    uses_.pop_back();
  }
}

void DirCache::put(NodeId id, DirRef directory) {
  const std::lock_guard lock(mutex_);
  insert(id, std::move(directory));
}

void DirCache::erase(NodeId id) {
  const std::lock_guard lock(mutex_);
  const auto slot = slots_.find(id);
  if (slot == slots_.end() || id == kRootNode) return;
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
