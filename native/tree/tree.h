// LayerTree: what one layer names, in memory. A Node is a path, an Inode what lies there;
// hardlinked paths share an Inode. Nodes never move and are never freed: a path that is removed is
// only no longer present, and comes back under the same NodeId when the layer names it again. Not
// synchronised: changed by one strand at a time, then shared as const.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "tar/entry.h"

namespace ociunpack {

using NodeId = uint32_t;
using InodeId = uint32_t;
inline constexpr NodeId kRootNode = 0;
inline constexpr NodeId kNoNode = UINT32_MAX;
inline constexpr InodeId kNoInode = UINT32_MAX;

// Linux's NAME_MAX: no name that is given to a path is longer.
inline constexpr size_t kMaxNameBytes = 255;

// "Never": a path that has always merged with the lower layers.
inline constexpr uint64_t kNeverCut = UINT64_MAX;

enum class NodeType : uint8_t {
  kDirectory,
  kFile,
  kSymlink,
  kCharDevice,
  kBlockDevice,
  kFifo,
  kWhiteout,     // hides this name in the lower layers; made by settle alone
  kPendingLink,  // a hardlink whose target this layer has not named (yet); `target` says which
};

struct Inode {
  NodeType type = NodeType::kDirectory;
  bool copied_up = false;  // its content comes from a lower layer (a hardlink into one)
  uint16_t mode = 0755;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  Timestamp mtime;
  uint64_t size = 0;
  uint64_t entry = 0;       // number of the tar entry that made it
  std::string_view target;  // of a symlink; of a pending link the path it links to
  std::span<const Xattr> xattrs;
  NodeId home = kNoNode;  // a present path of it: where it was created, or one that is left
  // Of a file: CRC-32C of its content, in the tree's own storage; null where it is not known.
  // Written by whoever writes the file, on any thread, until the layer's pass has ended.
  uint32_t* checksum = nullptr;
};

struct Node {
  NodeId parent = kRootNode;
  NodeId first_child = kNoNode;
  NodeId next_sibling = kNoNode;
  InodeId inode = kNoInode;  // kNoInode: not present
  std::string_view name;
  // The tar entry from which on this path no longer merged with the lower layers, because something
  // else than a directory stood here; kNeverCut when it always did.
  uint64_t cut_at = kNeverCut;
  bool implicit = false;  // a directory that the layer did not name, only paths below it
  bool opaque = false;    // a directory that hides the lower layers' content
  bool in_child_list = false;
  bool was_directory = false;  // it stands in LayerTree::directories_
  // An entry has named this very path as a directory, wherever symlinks led it, whatever came
  // after.
  bool named_directory = false;
};

// Looks at nodes on this thread (a way up to the root is none), counted in test builds: that work
// grows in proportion is shown by a count, never by a clock.
#ifdef OCIUNPACK_FAULT_INJECTION
inline thread_local uint64_t node_looks = 0;
inline void count_look() { ++node_looks; }
#else
inline void count_look() {}
#endif

class LayerTree {
 public:
  LayerTree();
  LayerTree(const LayerTree&) = delete;
  LayerTree& operator=(const LayerTree&) = delete;

  // Room for as many of each in all, so that they are added without moving those before them.
  void reserve(size_t nodes, size_t inodes);

  // The present node of that name, or kNoNode.
  NodeId find(NodeId parent, std::string_view name) const;
  // The node of that name, present or not, or kNoNode.
  NodeId find_any(NodeId parent, std::string_view name) const {
    return slots_[slot_of(parent, name)];
  }
  // The node of that name, present or not; made (not present) where the path was never named.
  NodeId find_or_add(NodeId parent, std::string_view name);
  // Gives a path its inode, and puts it into its parent's list of children.
  void place(NodeId node, InodeId inode);
  // Takes the path away (with `inode` = kNoInode); a directory's children must be gone already.
  // The node stays in its parent's child list until clear_children().
  void remove(NodeId node) { nodes_[node].inode = kNoInode; }
  // Empties a directory's list of children. The caller has removed each of them.
  void clear_children(NodeId directory);

  InodeId new_inode(NodeType type, NodeId home);
  // Copies the names and values into the tree's arena; once where they are those of the call
  // before.
  std::span<const Xattr> keep_xattrs(std::span<const Xattr> xattrs);
  std::string_view keep(std::string_view bytes) { return arena_.copy(bytes); }
  // Room for a file's checksum, that never moves.
  uint32_t* new_checksum(uint32_t value = 0) { return &checksums_.emplace_back(value); }

  Node& node(NodeId id) {
    count_look();
    return nodes_[id];
  }
  const Node& node(NodeId id) const {
    count_look();
    return nodes_[id];
  }
  Inode& inode(InodeId id) { return inodes_[id]; }
  const Inode& inode(InodeId id) const { return inodes_[id]; }
  bool present(NodeId id) const { return nodes_[id].inode != kNoInode; }
  Inode& inode_of(NodeId id) { return inodes_[nodes_[id].inode]; }
  const Inode& inode_of(NodeId id) const { return inodes_[nodes_[id].inode]; }
  NodeType type_of(NodeId id) const { return inode_of(id).type; }
  bool is_directory(NodeId id) const { return present(id) && type_of(id) == NodeType::kDirectory; }

  // The present directories, each after the one that it lies in. Found without a look at what is
  // none: a tree is mostly files, and every look at one is a wait for memory.
  std::vector<NodeId> directories() const;

  // "a/b/c", without a leading slash; "" for the root.
  std::string path(NodeId id) const;
  // True when no path prefix of `id`, itself included, was cut off the lower layers at or before
  // `entry` (use the largest entry number for "as the layer ends").
  bool merges_at(NodeId id, uint64_t entry) const;

  size_t node_count() const { return nodes_.size(); }    // present or not
  size_t inode_count() const { return inodes_.size(); }  // used or not
  size_t memory_bytes() const;

 private:
  size_t slot_of(NodeId parent, std::string_view name) const;
  void grow(size_t slots);

  std::vector<Node> nodes_;
  std::vector<Inode> inodes_;
  std::deque<uint32_t> checksums_;
  std::vector<NodeId> slots_;        // open addressing by (parent, name); kNoNode is free
  std::vector<NodeId> directories_;  // every path that a directory was ever given to, once
  Arena arena_;
  std::span<const Xattr> last_xattrs_;  // that were kept
};

}  // namespace ociunpack
