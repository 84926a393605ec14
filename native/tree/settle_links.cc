// Settle's hardlinks: what the links point to whose target the layer had not named when they came.
// First those into the lower layers, which saw them at their place in the tar; what is left was a
// placeholder, and is linked to what its target is when the layer ends.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "tree/settle.h"

namespace ociunpack {

// What a link's target leads to in the end: in this layer, or below it.
struct Settler::Target {
  NodeId node = kNoNode;
  std::optional<MergedNode> lower;
  std::vector<std::string_view> path;  // the real one
  NodeId awaited = kNoNode;            // the first link on the way, or there, that is not settled
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

// A link that leads to another one, or through it, waits for that: links in a chain are each looked
// at once, in whatever order they come.
Status Settler::link_deferred() {
  const std::vector<PendingLink>& links = planner_->pending_links();
  const auto is_placeholder = [this](const PendingLink& link) {
    return tree_->node(link.name).inode == link.inode;
  };
  std::vector<const PendingLink*> left;  // the next one comes last
  for (size_t i = links.size(); i-- > 0;) {
    if (is_placeholder(links[i])) left.push_back(&links[i]);
  }
  std::unordered_map<NodeId, std::vector<const PendingLink*>> waiting;  // by what they wait for
  while (!left.empty()) {
    const PendingLink& link = *left.back();
    left.pop_back();
    OCIUNPACK_ASSIGN(const NodeId awaited, link_one_deferred(link));
    if (awaited != kNoNode) {
      waiting[awaited].push_back(&link);
    } else if (const auto followers = waiting.extract(link.name); !followers.empty()) {
      left.insert(left.end(), followers.mapped().rbegin(), followers.mapped().rend());
    }
  }
  const auto unsettled = std::find_if(links.begin(), links.end(), is_placeholder);
  if (unsettled == links.end()) return {};
  return refuse_link(*unsettled, Code::ERR_LINK_TARGET,
                     "is neither in this layer nor in the layers below it");
}

// Links it, or says what link that is not settled itself it waits for. Where its target does not
// exist it stays a placeholder.
Result<NodeId> Settler::link_one_deferred(const PendingLink& link) {
  OCIUNPACK_ASSIGN(const Target target, walk_target(link));
  if (target.node == link.name) {
    return refuse_link(link, Code::ERR_INVALID_ENTRY, "is the link itself").error();
  }
  InodeId inode = kNoInode;
  if (target.node != kNoNode) {
    if (tree_->type_of(target.node) == NodeType::kPendingLink) return target.awaited;
    inode = tree_->node(target.node).inode;
  } else if (!target.lower) {
    return target.awaited;
  }
  const NodeType type = inode != kNoInode ? tree_->inode(inode).type : target.lower->type();
  if (type == NodeType::kDirectory) {
    return refuse_link(link, Code::ERR_INVALID_ENTRY, "is a directory").error();
  }
  if (inode == kNoInode) {
    inode = planner_->copy_of(*target.lower, link.name);
    tree_->place(link.name, inode);
    name_in_this_layer(target.path, *target.lower);
    return kNoNode;
  }
  tree_->place(link.name, inode);
  more_links_.push_back(link.name);
  return kNoNode;
}

// Walks a link's target through what this layer and those below it have in the end.
Result<Settler::Target> Settler::walk_target(const PendingLink& link) const {
  struct Step {
    NodeId any = kNoNode;             // this layer's path, whether something is there or not
    bool cut = false;                 // the lower layers are not to be seen from here on
    std::optional<MergedNode> lower;  // what they show
  };
  Target target;
  std::vector<Step> steps{{kRootNode, false, merged_root(lower_.get())}};  // target.path, and "/"
  const std::vector<std::string_view> said = split_path(tree_->inode(link.inode).target);
  std::vector<std::string_view> pending(said.rbegin(), said.rend());
  int symlinks = 0;
  while (!pending.empty()) {
    const std::string_view name = pending.back();
    pending.pop_back();
    if (name == "..") {
      if (target.path.empty()) continue;
      steps.pop_back();
      target.path.pop_back();
      continue;
    }
    const Step& above = steps.back();
    Step step;
    if (above.any != kNoNode) step.any = tree_->find_any(above.any, name);
    step.cut = above.cut || (step.any != kNoNode && tree_->node(step.any).cut_at != kNeverCut);
    step.lower = merged_child(above.lower, name);
    const bool own = step.any != kNoNode && tree_->present(step.any);
    const Inode* inode = nullptr;
    if (own) {
      inode = &tree_->inode_of(step.any);
    } else if (step.lower && !step.cut) {
      inode = &step.lower->inode();
    }
    if (own && inode->type == NodeType::kPendingLink && target.awaited == kNoNode) {
      target.awaited = step.any;
    }
    const bool follow = !pending.empty() && inode != nullptr && inode->type == NodeType::kSymlink;
    if (!follow) {
      target.path.push_back(name);
      steps.push_back(std::move(step));
      continue;
    }
    if (++symlinks > kMaxSymlinks) {
      return refuse_link(link, Code::ERR_INVALID_ENTRY, "leads through a loop of symlinks").error();
    }
    if (inode->target.starts_with('/')) {
      target.path.clear();
      steps.resize(1);
    }
    const std::vector<std::string_view> more = split_path(inode->target);
    pending.insert(pending.end(), more.rbegin(), more.rend());
  }
  const Step& last = steps.back();
  if (last.any != kNoNode && tree_->present(last.any)) {
    target.node = last.any;
  } else if (!last.cut) {
    target.lower = last.lower;
  }
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
