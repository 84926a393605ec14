#include "audit/expected_tree.h"

namespace ociunpack {
namespace {

std::vector<uint32_t> count_names(const LayerTree& tree) {
  std::vector<uint32_t> names(tree.inode_count(), 0);
  for (NodeId id = 0; id < tree.node_count(); ++id) {
    if (tree.present(id)) ++names[tree.node(id).inode];
  }
  return names;
}

ExpectedNode from_merged(MergedNode merged) {
  return {&merged.view->tree(), merged.node, std::move(merged.parts)};
}

MergedNode to_merged(const ExpectedNode& directory) { return {nullptr, kNoNode, directory.parts}; }

}  // namespace

ExpectedTree::ExpectedTree(std::shared_ptr<const TreeView> view, bool merged)
    : view_(std::move(view)), merged_(merged) {
  for (const TreeView* at = view_.get(); at != nullptr; at = merged ? at->below() : nullptr) {
    names_.emplace_back(&at->tree(), count_names(at->tree()));
  }
}

ExpectedNode ExpectedTree::root() const {
  if (!merged_) return {&view_->tree(), kRootNode, {}};
  return from_merged(*merged_root(view_.get()));
}

std::optional<ExpectedNode> ExpectedTree::child(const ExpectedNode& directory,
                                                std::string_view name) const {
  if (merged_) {
    auto merged = merged_child(to_merged(directory), name);
    if (!merged) return std::nullopt;
    return from_merged(*std::move(merged));
  }
  const NodeId id = directory.tree->find(directory.node, name);
  if (id == kNoNode) return std::nullopt;
  return ExpectedNode{directory.tree, id, {}};
}

std::vector<ExpectedNode> ExpectedTree::children(const ExpectedNode& directory) const {
  std::vector<ExpectedNode> children;
  if (merged_) {
    const MergedNode merged = to_merged(directory);
    for_each_merged_name(merged, [&](std::string_view name) {
      children.push_back(from_merged(*merged_child(merged, name)));
    });
    return children;
  }
  const LayerTree& tree = *directory.tree;
  for (NodeId id = tree.node(directory.node).first_child; id != kNoNode;
       id = tree.node(id).next_sibling) {
    if (tree.present(id)) children.push_back({&tree, id, {}});
  }
  return children;
}

bool ExpectedTree::has_links(const ExpectedNode& node) const {
  for (const auto& [tree, names] : names_) {
    if (tree == node.tree) return names[tree->node(node.node).inode] > 1;
  }
  return false;
}

}  // namespace ociunpack
