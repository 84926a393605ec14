#include "tree/tree.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <random>

namespace ociunpack {
namespace {

// Names come from the layer, which may be hostile: without a secret in the hash it could be made of
// names that all fall into one slot.
uint64_t hash_seed() {
  static const uint64_t seed = [] {
    std::random_device device;
    return (uint64_t{device()} << 32) | device();
  }();
  return seed;
}

uint64_t hash_name(NodeId parent, std::string_view name) {
  uint64_t hash = hash_seed() ^ (uint64_t{parent} * UINT64_C(0x9E3779B97F4A7C15));
  const char* byte = name.data();
  size_t left = name.size();
  const auto mix = [&hash](uint64_t word) {
    const auto product = static_cast<unsigned __int128>(hash ^ word) * UINT64_C(0xA0761D6478BD642F);
    hash = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64) ^ hash_seed();
  };
  for (; left >= 8; left -= 8, byte += 8) {
    uint64_t word;
    std::memcpy(&word, byte, 8);
    mix(word);
  }
  uint64_t tail = name.size();
  std::memcpy(reinterpret_cast<char*>(&tail) + 1, byte, std::min<size_t>(left, 7));
  mix(tail);
  return hash;
}

}  // namespace

LayerTree::LayerTree() : slots_(1024, kNoNode) {
  nodes_.emplace_back();
  nodes_[kRootNode].implicit = true;
  nodes_[kRootNode].inode = new_inode(NodeType::kDirectory, kRootNode);
  nodes_[kRootNode].was_directory = true;
  directories_.push_back(kRootNode);
}

size_t LayerTree::slot_of(NodeId parent, std::string_view name) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash_name(parent, name) & mask;
  while (slots_[slot] != kNoNode) {
    const Node& candidate = node(slots_[slot]);
    if (candidate.parent == parent && candidate.name == name) return slot;
    slot = (slot + 1) & mask;
  }
  return slot;
}

void LayerTree::reserve(size_t nodes, size_t inodes) {
  nodes_.reserve(nodes);
  inodes_.reserve(inodes);
  if (nodes * 2 > slots_.size()) grow(std::bit_ceil(nodes * 2));
}

void LayerTree::grow(size_t slots) {
  slots_.assign(slots, kNoNode);
  for (NodeId id = 1; id < nodes_.size(); ++id) {
    slots_[slot_of(nodes_[id].parent, nodes_[id].name)] = id;
  }
}

NodeId LayerTree::find(NodeId parent, std::string_view name) const {
  const NodeId id = slots_[slot_of(parent, name)];
  return id != kNoNode && present(id) ? id : kNoNode;
}

NodeId LayerTree::find_or_add(NodeId parent, std::string_view name) {
  size_t slot = slot_of(parent, name);
  if (slots_[slot] != kNoNode) return slots_[slot];
  if ((nodes_.size() + 1) * 2 > slots_.size()) {
    grow(slots_.size() * 2);
    slot = slot_of(parent, name);
  }
  const NodeId id = static_cast<NodeId>(nodes_.size());
  Node& node = nodes_.emplace_back();
  node.parent = parent;
  node.name = arena_.copy(name);
  slots_[slot] = id;
  return id;
}

void LayerTree::place(NodeId id, InodeId inode) {
  Node& node = nodes_[id];
  node.inode = inode;
  if (!node.was_directory && inodes_[inode].type == NodeType::kDirectory) {
    node.was_directory = true;
    directories_.push_back(id);
  }
  if (!node.in_child_list && id != kRootNode) {
    node.in_child_list = true;
    node.next_sibling = nodes_[node.parent].first_child;
    nodes_[node.parent].first_child = id;
  }
}

void LayerTree::clear_children(NodeId directory) {
  for (NodeId child = nodes_[directory].first_child; child != kNoNode;) {
    nodes_[child].in_child_list = false;
    child = std::exchange(nodes_[child].next_sibling, kNoNode);
  }
  nodes_[directory].first_child = kNoNode;
}

InodeId LayerTree::new_inode(NodeType type, NodeId home) {
  Inode& inode = inodes_.emplace_back();
  inode.type = type;
  inode.home = home;
  return static_cast<InodeId>(inodes_.size() - 1);
}

std::span<const Xattr> LayerTree::keep_xattrs(std::span<const Xattr> xattrs) {
  if (xattrs.empty()) return {};
  // Entry after entry may have the same, by a global header or by how the layer was packed.
  if (std::equal(xattrs.begin(), xattrs.end(), last_xattrs_.begin(), last_xattrs_.end())) {
    return last_xattrs_;
  }
  // SAFETY: the arena gives no alignment; room for one more makes an aligned start always fit.
  void* room = arena_.allocate((xattrs.size() + 1) * sizeof(Xattr));
  size_t space = (xattrs.size() + 1) * sizeof(Xattr);
  auto* kept =
      static_cast<Xattr*>(std::align(alignof(Xattr), xattrs.size() * sizeof(Xattr), room, space));
  for (size_t i = 0; i < xattrs.size(); ++i) {
    new (&kept[i]) Xattr(arena_.copy(xattrs[i].first), arena_.copy(xattrs[i].second));
  }
  last_xattrs_ = {kept, xattrs.size()};
  return last_xattrs_;
}

std::vector<NodeId> LayerTree::directories() const {
  std::vector<NodeId> present;
  for (const NodeId id : directories_) {
    if (is_directory(id)) present.push_back(id);
  }
  // A parent has a smaller number than what lies in it, but a path may become a directory late.
  std::sort(present.begin(), present.end());
  return present;
}

std::string LayerTree::path(NodeId id) const {
  size_t length = 0;
  for (NodeId at = id; at != kRootNode; at = nodes_[at].parent)
    length += nodes_[at].name.size() + 1;
  if (length == 0) return {};
  std::string path(length - 1, '/');
  size_t end = path.size();
  for (NodeId at = id; at != kRootNode; at = nodes_[at].parent) {
    const std::string_view name = nodes_[at].name;
    end -= name.size();
    name.copy(path.data() + end, name.size());
    if (end > 0) --end;
  }
  return path;
}

bool LayerTree::merges_at(NodeId id, uint64_t entry) const {
  for (NodeId at = id;; at = nodes_[at].parent) {
    if (nodes_[at].cut_at <= entry) return false;
    if (at == kRootNode) return true;
  }
}

size_t LayerTree::memory_bytes() const {
  return nodes_.capacity() * sizeof(Node) + inodes_.capacity() * sizeof(Inode) +
         (slots_.capacity() + directories_.capacity()) * sizeof(NodeId) +
         checksums_.size() * sizeof(uint32_t) + arena_.total();
}

}  // namespace ociunpack
