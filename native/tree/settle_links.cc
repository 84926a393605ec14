// Settle's hardlinks: what the links point to whose target the layer had not named when they came.
// First those into the lower layers, which saw them at their place in the tar; what is left was a
// placeholder, and is linked to what its target is when the layer ends.
#include <unordered_set>

#include "tree/settle.h"

namespace ociunpack {

// What a link's target leads to in the end: in this layer, or below it.
struct Settler::Target {
  NodeId node = kNoNode;
  std::optional<MergedNode> lower;
  std::vector<std::string_view> path;  // the real one
};

Status Settler::refuse_link(const PendingLink& link, Code code, const char* why) const {
  return input_error(code, "hardlink", tree_->path(link.name),
                     "its target " + std::string(tree_->inode(link.inode).target) + " " + why);
}

Status Settler::settle_links() {
  link_lower_targets();
  OCIUNPACK_TRY(link_deferred());
  plan_links();
  return {};
}

// With the lower layers known from the start there are none: the planner has linked them.
void Settler::link_lower_targets() {
  for (const PendingLink& link : planner_->pending_links()) {
    const auto source = lower_targets_.find(link.inode);
    if (source == lower_targets_.end()) continue;
    if (tree_->node(link.name).inode == link.inode) {
      tree_->place(link.name, planner_->copy_of(source->second, link.name));
    }
    // Also where something else has taken the link's place since: a target that is linked belongs
    // to the layer, whichever way it was planned.
    if (link.via == kNoInode) name_in_this_layer(split_path(link.target_path), source->second);
  }
}

// The target's own path belongs to this layer then, unless the layer has put something else there.
void Settler::name_in_this_layer(const std::vector<std::string_view>& path,
                                 const MergedNode& source) {
  if (was_cut(path)) return;
  const NodeId above = ensure_directory({path.begin(), path.end() - 1});
  if (above == kNoNode) return;
  const NodeId id = tree_->find_or_add(above, path.back());
  if (tree_->present(id)) return;
  tree_->place(id, planner_->copy_of(source, id));
  more_links_.push_back(id);
}

Status Settler::link_deferred() {
  std::vector<const PendingLink*> left;
  for (const PendingLink& link : planner_->pending_links()) {
    if (tree_->node(link.name).inode == link.inode) left.push_back(&link);
  }
  while (!left.empty()) {
    std::vector<const PendingLink*> still;
    for (const PendingLink* link : left) {
      OCIUNPACK_ASSIGN(const bool linked, link_one_deferred(*link));
      if (!linked) still.push_back(link);
    }
    if (still.size() == left.size()) {
      return refuse_link(*left.front(), Code::ERR_LINK_TARGET,
                         "is neither in this layer nor in the layers below it");
    }
    left = std::move(still);
  }
  return {};
}

// False where the target does not exist, or is a link that is not settled itself.
Result<bool> Settler::link_one_deferred(const PendingLink& link) {
  OCIUNPACK_ASSIGN(const Target target, walk_target(link));
  if (target.node == link.name) {
    return refuse_link(link, Code::ERR_INVALID_ENTRY, "is the link itself").error();
  }
  InodeId inode = kNoInode;
  if (target.node != kNoNode) {
    if (tree_->type_of(target.node) == NodeType::kPendingLink) return false;
    inode = tree_->node(target.node).inode;
  } else if (!target.lower) {
    return false;
  }
  const NodeType type = inode != kNoInode ? tree_->inode(inode).type : target.lower->type();
  if (type == NodeType::kDirectory) {
    return refuse_link(link, Code::ERR_INVALID_ENTRY, "is a directory").error();
  }
  if (inode == kNoInode) {
    inode = planner_->copy_of(*target.lower, link.name);
    tree_->place(link.name, inode);
    name_in_this_layer(target.path, *target.lower);
    return true;
  }
  tree_->place(link.name, inode);
  more_links_.push_back(link.name);
  return true;
}

// Walks a link's target through what this layer and those below it have in the end.
Result<Settler::Target> Settler::walk_target(const PendingLink& link) const {
  Target target;
  std::vector<NodeId> nodes;  // of target.path; kNoNode where this layer has nothing
  const std::vector<std::string_view> said = split_path(tree_->inode(link.inode).target);
  std::vector<std::string_view> pending(said.rbegin(), said.rend());
  int symlinks = 0;
  while (!pending.empty()) {
    const std::string_view name = pending.back();
    pending.pop_back();
    if (name == "..") {
      if (!nodes.empty()) nodes.pop_back();
      if (!target.path.empty()) target.path.pop_back();
      continue;
    }
    const NodeId above = nodes.empty() ? kRootNode : nodes.back();
    const NodeId id = above == kNoNode ? kNoNode : tree_->find(above, name);
    target.path.push_back(name);
    nodes.push_back(id);
    target.lower.reset();
    if (id == kNoNode && lower_ != nullptr && !was_cut(target.path)) {
      target.lower = walk_merged(lower_.get(), target.path, false, false).found;
    }
    if (pending.empty()) break;
    const Inode* inode = nullptr;
    if (id != kNoNode) inode = &tree_->inode_of(id);
    if (target.lower) inode = &target.lower->inode();
    if (inode == nullptr || inode->type != NodeType::kSymlink) continue;
    if (++symlinks > kMaxSymlinks) {
      return refuse_link(link, Code::ERR_INVALID_ENTRY, "leads through a loop of symlinks").error();
    }
    target.path.pop_back();
    nodes.pop_back();
    if (inode->target.starts_with('/')) {
      target.path.clear();
      nodes.clear();
    }
    const std::vector<std::string_view> more = split_path(inode->target);
    pending.insert(pending.end(), more.rbegin(), more.rend());
  }
  target.node = nodes.empty() ? kRootNode : nodes.back();
  return target;
}

// Copies and links on disk: an inode is copied to its home, its other names are linked to that.
void Settler::plan_links() {
  std::vector<NodeId> names = more_links_;
  for (const NodeId id : planner_->unsettled_links()) {
    // Some have been named again since, and link to a file of this layer already.
    if (tree_->present(id) && tree_->inode_of(id).copied_up) names.push_back(id);
  }
  std::unordered_set<NodeId> seen;
  std::vector<SettlePlan::Link> links;
  for (const NodeId id : names) {
    if (!tree_->present(id) || !seen.insert(id).second) continue;
    const InodeId inode_id = tree_->node(id).inode;
    const NodeId home = tree_->inode(inode_id).home;
    if (home != id) {
      links.push_back({home, id});
    } else if (const auto source = planner_->copy_sources().find(inode_id);
               source != planner_->copy_sources().end()) {
      plan_.copy_ups.push_back({id, source->second});
      plan_.notes.push_back({"hardlink-copied-up", tree_->path(id),
                             "the target of a hardlink lies in a lower layer; it is copied"});
    }
  }
  plan_.links = std::move(links);
}

}  // namespace ociunpack
