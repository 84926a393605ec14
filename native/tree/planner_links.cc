// Planner's hardlinks. A link whose target this layer has named shares its inode. What else it may
// point to is one of the lower layers' files, then it links that one, or something that comes
// later; without the lower layers that is not known, and what would settle it is written down.
#include <algorithm>

#include "tree/planner.h"

namespace ociunpack {

// The inode that stands for a lower layers' inode in this layer, the same for all its names there.
InodeId Planner::copy_of(const MergedNode& source, NodeId name) {
  const auto key = std::make_pair(source.view, source.view->tree().node(source.node).inode);
  const auto [copy, added] = copies_.try_emplace(key, kNoInode);
  if (added) {
    copy->second = tree_->new_inode(source.type(), name);
    copy_lower_inode(source, tree_, copy->second);
    copy_sources_.emplace(copy->second, source);
  }
  Inode& inode = tree_->inode(copy->second);
  if (tree_->node(inode.home).inode != copy->second) inode.home = name;
  return copy->second;
}

void Planner::add_name(InodeId inode, NodeId name) {
  std::vector<NodeId>& names = hardlinks_[inode];
  const NodeId home = tree_->inode(inode).home;
  if (names.empty() && home != name) names.push_back(home);
  names.push_back(name);
}

// With the lower layers known: the name that the target of a link has in this layer then, too.
// kNoNode where they have no such file.
Result<NodeId> Planner::name_lower_target(const Entry& entry, std::string_view name) {
  const auto below = lower_child(name);
  if (!below) return kNoNode;
  if (below->is_directory()) return refuse(entry, "a hardlink to a directory");
  const NodeId parent = make_walked(entry.index);
  const NodeId id = tree_->find_or_add(parent, name);
  const InodeId inode = copy_of(*below, id);
  place_new(id, inode, entry.index);
  add_name(inode, id);
  unsettled_links_.push_back(id);
  return id;
}

Result<const PlanStep*> Planner::add_hardlink(const Entry& entry, NodeId parent,
                                              std::string_view name) {
  std::vector<std::string_view> target;
  OCIUNPACK_TRY(clean(entry, entry.linkpath, &target));
  if (target.empty()) return refuse(entry, "a hardlink to the root");
  const std::vector<std::string_view> directory(target.begin(), target.end() - 1);
  OCIUNPACK_TRY(walk(entry, directory, Purpose::kLinkTarget));
  const NodeId above = places_.empty() ? kRootNode : places_.back().node;
  NodeId found = above == kNoNode ? kNoNode : tree_->find(above, target.back());
  const NodeId id = tree_->find_or_add(parent, name);
  if (found == id || (above == parent && target.back() == name)) {
    return doubt(entry, "a hardlink to itself");
  }
  if (found != kNoNode && tree_->is_directory(found)) {
    return doubt(entry, "a hardlink to a directory");
  }
  if (found == kNoNode && options_.lower != nullptr) {
    OCIUNPACK_ASSIGN(found, name_lower_target(entry, target.back()));
  }
  std::string target_path = walked_path();
  if (!target_path.empty()) target_path += '/';
  target_path += target.back();
  if (found == kNoNode && entry.body_size > 0) {
    // pax archives may carry the content with each link: then this one is a file of its own, unless
    // a lower layer has its target.
    if (walked_merges()) guess(Guess::Kind::kNoTarget, target_path);
    Entry file = entry;
    file.type = EntryType::kFile;
    file.size = entry.body_size;
    return add_other(file, parent, name);
  }
  InodeId inode = found == kNoNode ? kNoInode : tree_->node(found).inode;
  const bool pending = found == kNoNode || tree_->type_of(found) == NodeType::kPendingLink;
  if (pending) {
    std::string as_said;
    for (const std::string_view component : target) {
      as_said.append(as_said.empty() ? "" : "/").append(component);
    }
    const InodeId via = inode;
    inode = tree_->new_inode(NodeType::kPendingLink, id);
    tree_->inode(inode).target = tree_->keep(as_said);
    tree_->inode(inode).entry = entry.index;
    guess(Guess::Kind::kPendingTarget, {}, pending_links_.size());
    pending_links_.push_back({inode, via, id, std::move(target_path), walked_merges()});
  }
  if (tree_->node(id).inode == inode) return &step_;  // it is that link already
  if (tree_->present(id)) {
    displace(id);
    if (found != kNoNode && !tree_->present(found)) {
      return doubt(entry, "the hardlink's target lies in the directory that it replaces",
                   Code::ERR_LINK_TARGET);
    }
  }
  const bool exists = !pending && !tree_->inode(inode).copied_up;
  step_.link_source = exists ? tree_->inode(inode).home : kNoNode;
  step_.kind = exists ? PlanStep::Kind::kLink : PlanStep::Kind::kSkip;
  step_.node = id;
  place_new(id, inode, entry.index);
  add_name(inode, id);
  if (!exists) unsettled_links_.push_back(id);
  return &step_;
}

void copy_lower_inode(const MergedNode& from, LayerTree* to, InodeId inode_id) {
  const Inode& lower = from.inode();
  Inode& inode = to->inode(inode_id);
  const NodeId home = inode.home;
  inode = lower;
  inode.home = home;
  inode.entry = 0;
  inode.copied_up = true;
  if (lower.checksum != nullptr) inode.checksum = to->new_checksum(*lower.checksum);
  inode.target = to->keep(lower.target);
  inode.xattrs = to->keep_xattrs(lower.xattrs);
}

}  // namespace ociunpack
