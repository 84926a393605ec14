#include "tree/settle.h"

#include <algorithm>

#include "tree/aufs_names.h"

namespace ociunpack {
namespace {

std::string join(const std::vector<std::string_view>& path) {
  std::string joined;
  for (const std::string_view name : path) joined.append(joined.empty() ? "" : "/").append(name);
  return joined;
}

std::string mark_path(const Mark& mark) {
  std::string path(mark.directory);
  if (!path.empty()) path.push_back('/');
  return mark.name.empty() ? path.append(kOpaqueName)
                           : path.append(kWhiteoutPrefix).append(mark.name);
}

// A path in a tree that holds nothing but paths.
NodeId add_path(LayerTree* paths, const std::vector<std::string_view>& path) {
  NodeId at = kRootNode;
  for (const std::string_view name : path) at = paths->find_or_add(at, name);
  return at;
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
    OCIUNPACK_ASSIGN(plan_.replan, check_guesses());
    if (plan_.replan) return std::move(plan_);
  }
  if (planner_->doubt()) return *planner_->doubt();
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
  LayerTree named;  // what this layer's marks name; `opaque`: a whiteout hides it
  for (const Mark& mark : planner_->marks()) {
    if (mark.name.empty()) continue;
    const NodeId directory = add_path(&named, split_path(mark.directory));
    named.node(named.find_or_add(directory, mark.name)).opaque = true;
  }
  for (const Mark& mark : planner_->marks()) {
    const std::vector<std::string_view> said = split_path(mark.directory);
    bool dropped = false;
    if (!mark.name.empty()) {
      NodeId at = kRootNode;
      for (const std::string_view name : said) {
        at = named.find_any(at, name);
        dropped = dropped || named.node(at).opaque;
      }
    }
    if (dropped) {
      plan_.notes.push_back(
          {"whiteout-dropped", mark_path(mark), "a directory above it is whited out as well"});
      continue;
    }
    std::vector<std::string_view> directory = said;
    if (below_ != nullptr) {
      const bool follow = symlink_parents_ == SymlinkParents::kFollow;
      MergedWalk walk = walk_merged(below_.get(), said, follow, true, own_directories(said));
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
        const std::string path = mark_path(mark);
        plan_.notes.push_back(
            {"symlink-parent", path, "followed the lower layers' symlinks to " + join(walk.path)});
        directory = std::move(walk.path);
        for (size_t i = 0; i < directory.size(); ++i) {
          const std::string_view name = directory[i];
          if (!planner_->within_limits(name, i + 1)) return planner_->beyond_limits(path, name);
        }
      }
    }
    marks_.push_back({&mark, add_path(&directories_, directory), directory.size()});
  }
  // Outer marks first, so that one which lies in what another hides finds nothing to hide.
  std::stable_sort(marks_.begin(), marks_.end(), [](const auto& a, const auto& b) {
    if (a.depth != b.depth) return a.depth < b.depth;
    return a.mark->name.empty() && !b.mark->name.empty();
  });
  return {};
}

// Which components of a mark's directory an entry of this layer has named as a directory: what the
// layer says of its own `lib/` is not about the `usr/lib` that a lower layer's symlink led to.
std::vector<bool> Settler::own_directories(const std::vector<std::string_view>& path) const {
  std::vector<bool> own;
  NodeId at = kRootNode;
  for (const std::string_view name : path) {
    at = tree_->find_any(at, name);
    if (at == kNoNode) break;
    own.push_back(tree_->node(at).named_directory);
  }
  return own;
}

std::vector<std::string_view> Settler::path_of(const ResolvedMark& mark) const {
  std::vector<std::string_view> path(mark.depth);
  NodeId at = mark.directory;
  for (size_t i = path.size(); i-- > 0; at = directories_.node(at).parent) {
    path[i] = directories_.node(at).name;
  }
  return path;
}

// Stacks a tree of nothing but this layer's whiteouts on the lower layers.
void Settler::build_lower() {
  if (below_ == nullptr) return;
  mask_ = std::make_shared<LayerTree>();
  lower_ = std::make_shared<TreeView>(mask_, std::string(), below_, /*transparent=*/true);
  for (ResolvedMark& mark : marks_) {
    const std::vector<std::string_view> path = path_of(mark);
    const MergedWalk walk = walk_merged(lower_.get(), path, false, false);
    if (!walk.found || !walk.found->is_directory()) {
      clear_the_way(path);
      continue;
    }
    mark.shows = mark.mark->name.empty() || merged_child(*walk.found, mark.mark->name).has_value();
    if (mark.shows) hide_in_mask(path, mark.mark->name);
  }
}

// A mark's directory takes the place of what else the lower layers have there, or above it; marks
// come before entries, so that no entry sees that any more.
void Settler::clear_the_way(const std::vector<std::string_view>& directory) {
  std::vector<std::string_view> path;
  std::optional<MergedNode> at = merged_root(lower_.get());
  for (const std::string_view name : directory) {
    at = merged_child(at, name);
    if (!at) return;
    if (!at->is_directory()) return hide_in_mask(path, name);
    path.push_back(name);
  }
}

// Hides `name` in the directory, or all of it where `name` is empty.
void Settler::hide_in_mask(const std::vector<std::string_view>& path, std::string_view name) {
  NodeId directory = kRootNode;
  for (const std::string_view component : path) {
    const NodeId id = mask_->find_or_add(directory, component);
    if (!mask_->present(id)) mask_->place(id, mask_->new_inode(NodeType::kDirectory, id));
    directory = id;
  }
  if (name.empty()) {
    mask_->node(directory).opaque = true;
    return;
  }
  const NodeId id = mask_->find_or_add(directory, name);
  mask_->place(id, mask_->new_inode(NodeType::kWhiteout, id));
}

// Marks come before entries, wherever they stand in the tar: what an entry has put in the place of
// a mark's directory, or of one above it, has taken the mark away with it.
bool Settler::was_cut(const std::vector<std::string_view>& path) const {
  NodeId at = kRootNode;
  for (const std::string_view name : path) {
    at = tree_->find_any(at, name);
    if (at == kNoNode) return false;
    if (tree_->node(at).cut_at != kNeverCut) return true;
  }
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
  for (ResolvedMark& mark : marks_) {
    const std::vector<std::string_view> path = path_of(mark);
    mark.node = was_cut(path) ? kNoNode : ensure_directory(path);
  }
  bool root_opaque = false;
  for (const ResolvedMark& mark : marks_) {
    if (!mark.mark->name.empty()) continue;
    if (mark.node == kNoNode) {
      plan_.notes.push_back({"whiteout-dropped", mark_path(*mark.mark),
                             "an entry of this layer has taken its directory's place"});
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
                             "an entry of this layer has taken its directory's place"});
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
  for (const NodeId id : tree_->directories()) {
    if (id == kRootNode) continue;
    Node& node = tree_->node(id);
    if (node.cut_at != kNeverCut) node.opaque = true;
    if (node.opaque) plan_.opaque_directories.push_back(id);
  }
}

// What the lower layers show at the path of a node, found from what they show above it: walked from
// the root for each, directories thousands deep would take hours.
const std::optional<MergedNode>& Settler::lower_at(NodeId id) {
  std::vector<NodeId> missing;
  NodeId at = id;
  while (at != kRootNode && !lower_at_.contains(at)) {
    missing.push_back(at);
    at = tree_->node(at).parent;
  }
  auto found = lower_at_.find(at);
  if (found == lower_at_.end()) found = lower_at_.emplace(at, merged_root(lower_.get())).first;
  for (; !missing.empty(); missing.pop_back()) {
    const NodeId next = missing.back();
    found = lower_at_.emplace(next, merged_child(found->second, tree_->node(next).name)).first;
  }
  return found->second;
}

// A directory that this layer did not name is what the lower layers show there (row 7), or new:
// 0755 0:0 and, so that the result does not depend on the clock, from the epoch.
void Settler::inherit_attributes() {
  for (const NodeId id : tree_->directories()) {
    if (!tree_->node(id).implicit) continue;
    plan_.implicit_directories.push_back(id);
    Inode& inode = tree_->inode_of(id);
    if (lower_ == nullptr || !tree_->merges_at(id, kEndOfLayer)) continue;
    const std::optional<MergedNode>& lower = lower_at(id);
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
