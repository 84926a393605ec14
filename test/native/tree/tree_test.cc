#include "tree/tree.h"

#include <string>
#include <vector>

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

TEST(what_a_tree_has_room_for_moves_nothing) {
  LayerTree tree;
  const NodeId before = add(&tree, kRootNode, "before", NodeType::kFile);
  tree.reserve(5000, 5000);
  const Node* node = &tree.node(kRootNode);
  const Inode* inode = &tree.inode_of(kRootNode);
  const size_t bytes = tree.memory_bytes();
  for (int i = 2; i < 5000; ++i) add(&tree, kRootNode, std::to_string(i), NodeType::kFile);
  CHECK(&tree.node(kRootNode) == node && &tree.inode_of(kRootNode) == inode);
  CHECK(tree.memory_bytes() < bytes + (128 << 10));  // their names
  for (int i = 0; i < 5000; ++i) add(&tree, before, std::to_string(i), NodeType::kFile);
  CHECK_EQ(tree.find(kRootNode, "before"), before);
  for (int i = 2; i < 5000; ++i) {
    CHECK_EQ(tree.find(kRootNode, std::to_string(i)), static_cast<NodeId>(i));
    CHECK_EQ(tree.find(before, std::to_string(i)), static_cast<NodeId>(i + 5000));
  }
}

}  // namespace
}  // namespace ociunpack
