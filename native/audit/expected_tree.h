// ExpectedTree: what a directory is to hold, one directory of it at a time: a layer's own tree, or
// the merged view of it and all trees below. Immutable; any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tree/tree.h"
#include "tree/view.h"

namespace ociunpack {

struct ExpectedNode {
  const LayerTree* tree = nullptr;  // where its attributes are
  NodeId node = kNoNode;
  std::vector<std::pair<const TreeView*, NodeId>> parts;  // of a merged directory

  const Inode& inode() const { return tree->inode_of(node); }
  NodeType type() const { return inode().type; }
  std::string_view name() const { return tree->node(node).name; }
  std::string path() const { return tree->path(node); }
  bool implicit() const { return tree->node(node).implicit; }
};

class ExpectedTree {
 public:
  ExpectedTree(std::shared_ptr<const TreeView> view, bool merged);

  ExpectedNode root() const;
  std::optional<ExpectedNode> child(const ExpectedNode& directory, std::string_view name) const;
  std::vector<ExpectedNode> children(const ExpectedNode& directory) const;
  // Whether the layer has other names of the same inode, to be seen or not.
  bool has_links(const ExpectedNode& node) const;
  // Whether `node` hides what is below it by a mark of its own; never in a merged view.
  bool opaque(const ExpectedNode& node) const {
    return !merged_ && node.tree->node(node.node).opaque;
  }

 private:
  std::shared_ptr<const TreeView> view_;
  bool merged_;
  // Names of each inode, of each tree.
  std::vector<std::pair<const LayerTree*, std::vector<uint32_t>>> names_;
};

}  // namespace ociunpack
