#include "tree/tree.h"

#include "../check.h"

namespace ociunpack {
namespace {

NodeId add(LayerTree* tree, NodeId parent, std::string_view name, NodeType type) {
  const NodeId id = tree->find_or_add(parent, name);
  tree->place(id, tree->new_inode(type, id));
  return id;
}

// Directories in the order of their numbers, also where a path became one late.
TEST(directories_of_a_tree) {
  LayerTree tree;
  const NodeId late = add(&tree, kRootNode, "late", NodeType::kFile);
  const NodeId first = add(&tree, kRootNode, "first", NodeType::kDirectory);
  const NodeId inner = add(&tree, first, "inner", NodeType::kDirectory);
  CHECK(tree.directories() == std::vector<NodeId>({kRootNode, first, inner}));
  tree.remove(late);
  tree.place(late, tree.new_inode(NodeType::kDirectory, late));
  CHECK(tree.directories() == std::vector<NodeId>({kRootNode, late, first, inner}));
  tree.remove(inner);
  tree.clear_children(first);
  tree.remove(first);
  CHECK(tree.directories() == std::vector<NodeId>({kRootNode, late}));
  add(&tree, kRootNode, "first", NodeType::kDirectory);
  CHECK(tree.directories() == std::vector<NodeId>({kRootNode, late, first}));
}

}  // namespace
}  // namespace ociunpack
