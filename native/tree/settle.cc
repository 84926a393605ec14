#include "tree/settle.h"

#include <algorithm>
#include <unordered_set>

namespace ociunpack {
namespace {

// After the last entry of a layer: every cut has happened, kNeverCut has not.
constexpr uint64_t kEndOfLayer = kNeverCut - 1;

std::string join(const std::vector<std::string_view>& path) {
  std::string joined;
  for (const std::string_view name : path) joined.append(joined.empty() ? "" : "/").append(name);
  return joined;
}

std::string mark_path(const Mark& mark) {
  std::string path;
  for (const std::string& name : mark.directory) path.append(name).append("/");
  return mark.name.empty() ? path + ".wh..wh..opq" : path + ".wh." + mark.name;
}

}  // namespace

Settler::Settler(LayerTree* tree, Planner* planner, std::shared_ptr<const TreeView> below,
                 SymlinkParents symlink_parents, bool lower_was_known)
    : tree_(tree),
      planner_(planner),
      below_(std::move(below)),
      symlink_parents_(symlink_parents),
      lower_was_known_(lower_was_known) {}

Result<SettlePlan> Settler::run() {
  OCIUNPACK_TRY(resolve_marks());
  build_lower();
  if (below_ != nullptr && !lower_was_known_) {
    OCIUNPACK_ASSIGN(plan_.replan, check_parents());
    if (plan_.replan) return std::move(plan_);
  }
  for (Note& note : planner_->take_notes()) plan_.notes.push_back(std::move(note));
  if (planner_->plink_directory() != kNoNode && tree_->present(planner_->plink_directory())) {
    planner_->displace(planner_->plink_directory());
    plan_.plink_directory = planner_->plink_directory();
  }
  OCIUNPACK_TRY(settle_links());
  apply_marks();
  mark_cut_directories();
  inherit_attributes();
  return std::move(plan_);
}

// Finds the real directory of each mark in the lower layers, and drops the whiteouts that lie below
// another whiteout of this layer (row 4: the outer one wins, and the inner one makes no directory).
Status Settler::resolve_marks() {
  std::unordered_set<std::string> hidden;
  for (const Mark& mark : planner_->marks()) {
    if (mark.name.empty()) continue;
    std::string path;
    for (const std::string& name : mark.directory) path.append(name).append("/");
    hidden.insert(path + mark.name + "/");
  }
  for (const Mark& mark : planner_->marks()) {
    std::string prefix;
    bool dropped = false;
    for (const std::string& name : mark.directory) {
      prefix.append(name).append("/");
      dropped = dropped || (!mark.name.empty() && hidden.contains(prefix));
    }
    if (dropped) {
      plan_.notes.push_back(
          {"whiteout-dropped", mark_path(mark), "a directory above it is whited out as well"});
      continue;
    }
    ResolvedMark resolved{&mark, {mark.directory.begin(), mark.directory.end()}};
    if (below_ != nullptr) {
      const bool follow = symlink_parents_ == SymlinkParents::kFollow;
      MergedWalk walk = walk_merged(below_.get(), resolved.directory, follow, true);
      if (walk.loop) {
        return input_error(Code::ERR_INVALID_ENTRY, "whiteout", mark_path(mark),
                           "more than 40 symlinks in the path: a loop");
      }
      if (walk.met_symlink && symlink_parents_ == SymlinkParents::kError) {
        return input_error(
            Code::ERR_SYMLINK_PARENT, "whiteout", mark_path(mark),
            "a parent of it is a symlink in a lower layer (symlinkParents: 'error')");
      }
      if (walk.met_symlink && follow) {
        plan_.notes.push_back({"symlink-parent", mark_path(mark),
                               "followed the lower layers' symlinks to " + join(walk.path)});
        resolved.directory = std::move(walk.path);
      }
    }
    marks_.push_back(std::move(resolved));
  }
  // Outer marks first, so that one which lies in what another hides finds nothing to hide.
  std::stable_sort(marks_.begin(), marks_.end(), [](const auto& a, const auto& b) {
    if (a.directory.size() != b.directory.size()) return a.directory.size() < b.directory.size();
    return a.mark->name.empty() && !b.mark->name.empty();
  });
  return {};
}

// Stacks a tree of nothing but this layer's whiteouts on the lower layers.
void Settler::build_lower() {
  if (below_ == nullptr) return;
  mask_ = std::make_shared<LayerTree>();
  lower_ = std::make_shared<TreeView>(mask_, UniqueFd(), below_, /*transparent=*/true);
  for (ResolvedMark& mark : marks_) {
    const MergedWalk walk = walk_merged(lower_.get(), mark.directory, false, false);
    if (!walk.found || !walk.found->is_directory()) continue;
    mark.shows = mark.mark->name.empty() || merged_child(*walk.found, mark.mark->name).has_value();
    if (mark.shows) hide_in_mask(mark);
  }
}

void Settler::hide_in_mask(const ResolvedMark& mark) {
  NodeId directory = kRootNode;
  for (const std::string_view name : mark.directory) {
    const NodeId id = mask_->find_or_add(directory, name);
    if (!mask_->present(id)) mask_->place(id, mask_->new_inode(NodeType::kDirectory, id));
    directory = id;
  }
  if (mark.mark->name.empty()) {
    mask_->node(directory).opaque = true;
    return;
  }
  const NodeId id = mask_->find_or_add(directory, mark.mark->name);
  mask_->place(id, mask_->new_inode(NodeType::kWhiteout, id));
}

// Whether the first pass took a path for a plain directory where the lower layers have a symlink.
Result<bool> Settler::check_parents() {
  if (planner_->uncertain()) return true;
  for (const NodeId id : planner_->implicit_directories()) {
    if (id == kRootNode) continue;
    OCIUNPACK_ASSIGN(const bool symlink, symlink_below(tree_->path(id)));
    if (symlink) return true;
  }
  for (const std::string& path : planner_->probed_paths()) {
    OCIUNPACK_ASSIGN(const bool symlink, symlink_below(path));
    if (symlink) return true;
  }
  for (const NodeId id : planner_->unsettled_links()) {
    if (!tree_->present(id) || tree_->type_of(id) != NodeType::kPendingLink) continue;
    const auto target = split_path(tree_->inode_of(id).target);
    if (walk_merged(lower_.get(), target, true, false).met_symlink) return true;
  }
  return false;
}

Result<bool> Settler::symlink_below(const std::string& path) {
  const MergedWalk walk = walk_merged(lower_.get(), split_path(path), false, false);
  if (!walk.found || walk.found->type() != NodeType::kSymlink) return false;
  const std::string target(walk.found->inode().target);
  if (symlink_parents_ == SymlinkParents::kError) {
    return input_error(Code::ERR_SYMLINK_PARENT, "settle", path,
                       "a parent of entries of this layer is a symlink to " + target +
                           " in a lower layer (symlinkParents: 'error')");
  }
  if (symlink_parents_ == SymlinkParents::kFollow) return true;
  plan_.notes.push_back(
      {"symlink-parent", path, "a directory replaces the lower layers' symlink to " + target});
  return false;
}

// A directory of this layer, made (without a name of its own) where it is missing; kNoNode where
// something else of this layer stands in the way.
NodeId Settler::ensure_directory(const std::vector<std::string_view>& path) {
  NodeId directory = kRootNode;
  for (const std::string_view name : path) {
    const NodeId id = tree_->find_or_add(directory, name);
    if (!tree_->present(id)) {
      tree_->node(id).cut_at = kNeverCut;
      tree_->place(id, tree_->new_inode(NodeType::kDirectory, id));
      tree_->node(id).implicit = true;
      plan_.made_directories.push_back(id);
    } else if (tree_->type_of(id) != NodeType::kDirectory) {
      return kNoNode;
    }
    directory = id;
  }
  return directory;
}

void Settler::apply_marks() {
  for (ResolvedMark& mark : marks_) mark.node = ensure_directory(mark.directory);
  bool root_opaque = false;
  for (const ResolvedMark& mark : marks_) {
    if (!mark.mark->name.empty()) continue;
    if (mark.node == kNoNode) {
      plan_.notes.push_back({"whiteout-dropped", mark_path(*mark.mark),
                             "what this layer has there is not a directory"});
    } else if (mark.node == kRootNode) {
      root_opaque = true;
    } else {
      tree_->node(mark.node).opaque = true;
    }
  }
  if (root_opaque) hide_root();
  for (const ResolvedMark& mark : marks_) {
    if (mark.mark->name.empty()) continue;
    if (mark.node == kNoNode) {
      plan_.notes.push_back({"whiteout-dropped", mark_path(*mark.mark),
                             "what this layer has there is not a directory"});
      continue;
    }
    hide(mark.node, mark.mark->name, mark.shows);
  }
}

void Settler::hide(NodeId directory, std::string_view name, bool shows) {
  const NodeId id = tree_->find_or_add(directory, name);
  if (tree_->present(id)) {
    // An entry of this layer stays; a directory must not show what lies below it.
    if (tree_->type_of(id) == NodeType::kDirectory) tree_->node(id).opaque = true;
    return;
  }
  if (!shows || !tree_->merges_at(directory, kEndOfLayer)) {
    plan_.notes.push_back({"whiteout-dropped", tree_->path(id), "no lower layer shows it"});
    return;
  }
  tree_->place(id, tree_->new_inode(NodeType::kWhiteout, id));
  plan_.whiteouts.push_back(id);
}

// overlayfs ignores an opaque root (row 9): every name below it is hidden by itself.
void Settler::hide_root() {
  const auto root = merged_root(below_.get());
  if (!root) return;
  for_each_merged_name(*root, [this](std::string_view name) { hide(kRootNode, name, true); });
}

// A directory that took the place of something else in this very layer hides what is below (row
// 10).
void Settler::mark_cut_directories() {
  for (NodeId id = 1; id < tree_->node_count(); ++id) {
    if (!tree_->is_directory(id)) continue;
    Node& node = tree_->node(id);
    if (node.cut_at != kNeverCut) node.opaque = true;
    if (node.opaque) plan_.opaque_directories.push_back(id);
  }
}

// Whether an entry of this layer, at its place in the tar, still saw the lower layers at `path`.
bool Settler::lower_visible_at(const std::vector<std::string_view>& path, uint64_t entry) const {
  NodeId at = kRootNode;
  for (const std::string_view name : path) {
    at = tree_->find(at, name);
    if (at == kNoNode) return true;
    if (tree_->node(at).cut_at <= entry) return false;
  }
  return true;
}

Status Settler::settle_links() {
  for (const NodeId id : planner_->unsettled_links()) {
    if (!tree_->present(id)) continue;
    const InodeId inode_id = tree_->node(id).inode;
    if (tree_->inode(inode_id).type == NodeType::kPendingLink) {
      OCIUNPACK_TRY(settle_pending(inode_id, 0));
    } else if (const auto source = planner_->copy_sources().find(inode_id);
               source != planner_->copy_sources().end() && tree_->inode(inode_id).home == id) {
      plan_.copy_ups.push_back({id, source->second});
    }
  }
  for (const NodeId id : planner_->unsettled_links()) {
    if (!tree_->present(id)) continue;
    const NodeId home = tree_->inode_of(id).home;
    if (home != id) plan_.links.push_back({home, id});
  }
  return {};
}

// Gives every path of a pending link its inode: of the lower layers' file, which is copied up, or
// of an entry that came later in this layer.
Status Settler::settle_pending(InodeId pending, int depth) {
  const std::string target(tree_->inode(pending).target);
  const NodeId home = tree_->inode(pending).home;
  const auto refuse = [&](Code code, const char* why) {
    return input_error(code, "hardlink", tree_->path(home), "its target " + target + " " + why);
  };
  const std::vector<std::string_view> path = split_path(target);
  if (lower_ != nullptr && lower_visible_at(path, tree_->inode(pending).entry)) {
    const MergedWalk walk = walk_merged(lower_.get(), path, false, false);
    if (walk.found && walk.found->is_directory()) {
      return refuse(Code::ERR_INVALID_ENTRY, "is a directory");
    }
    if (walk.found) {
      // The target's own path belongs to this layer then, unless the layer has put another file
      // there.
      const NodeId above = ensure_directory({path.begin(), path.end() - 1});
      if (above != kNoNode && tree_->merges_at(above, kEndOfLayer) &&
          tree_->find(above, path.back()) == kNoNode) {
        const NodeId id = tree_->find_or_add(above, path.back());
        tree_->node(id).cut_at = tree_->inode(pending).entry;
        tree_->place(id, pending);
        tree_->inode(pending).home = id;
      }
      settle_copied(pending, *walk.found);
      return {};
    }
  }
  NodeId found = kRootNode;
  for (const std::string_view name : path) {
    found = found == kNoNode ? kNoNode : tree_->find(found, name);
  }
  if (found == kNoNode) {
    return refuse(Code::ERR_LINK_TARGET, "is neither in this layer nor in the layers below it");
  }
  if (tree_->is_directory(found)) return refuse(Code::ERR_INVALID_ENTRY, "is a directory");
  const InodeId inode_id = tree_->node(found).inode;
  if (inode_id == pending || depth > kMaxSymlinks) {
    return refuse(Code::ERR_LINK_TARGET, "leads back to the link itself");
  }
  if (tree_->type_of(found) == NodeType::kPendingLink) {
    OCIUNPACK_TRY(settle_pending(inode_id, depth + 1));
  }
  const InodeId settled = tree_->node(found).inode;
  for (const NodeId id : planner_->unsettled_links()) {
    if (tree_->node(id).inode == pending) tree_->node(id).inode = settled;
  }
  return {};
}

void Settler::settle_copied(InodeId inode_id, const MergedNode& source) {
  copy_lower_inode(source, tree_, inode_id);
  const NodeId home = tree_->inode(inode_id).home;
  plan_.copy_ups.push_back({home, source});
  plan_.notes.push_back({"hardlink-copied-up", tree_->path(home),
                         "the target of a hardlink lies in a lower layer; it is copied"});
}

// A directory that this layer did not name is what the lower layers show there (row 7), or new:
// 0755 0:0 and, so that the result does not depend on the clock, from the epoch.
void Settler::inherit_attributes() {
  for (NodeId id = 0; id < tree_->node_count(); ++id) {
    if (!tree_->is_directory(id) || !tree_->node(id).implicit) continue;
    plan_.implicit_directories.push_back(id);
    Inode& inode = tree_->inode_of(id);
    std::optional<MergedNode> lower;
    if (lower_ != nullptr && tree_->merges_at(id, kEndOfLayer)) {
      const std::string path = tree_->path(id);
      lower = walk_merged(lower_.get(), split_path(path), false, false).found;
    }
    if (!lower || !lower->is_directory()) continue;
    const Inode& source = lower->inode();
    inode.mode = source.mode;
    inode.uid = source.uid;
    inode.gid = source.gid;
    inode.mtime = source.mtime;
    inode.xattrs = tree_->keep_xattrs(source.xattrs);
  }
}

}  // namespace ociunpack
