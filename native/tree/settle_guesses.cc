// Settle's first question: was the plan right, that was made without the lower layers? What it took
// them to be is held against them in the order of the tar. The first thing that is not so decides
// what a sequential apply would do there: refuse the entry, or something that needs a new plan.
#include "tree/settle.h"

namespace ociunpack {

// True where the layer must be planned anew. An error is the one that a sequential apply, entry by
// entry, would have come to first: whatever the plan got wrong comes after it.
Result<bool> Settler::check_guesses() {
  for (const Guess& guess : planner_->guesses()) {
    OCIUNPACK_ASSIGN(const bool wrong, was_wrong(guess));
    if (wrong) return true;
  }
  return false;
}

Result<bool> Settler::was_wrong(const Guess& guess) {
  switch (guess.kind) {
    case Guess::Kind::kDirectory: {
      const auto id = static_cast<NodeId>(guess.number);
      const std::optional<MergedNode>& below = lower_at(id);
      if (!below || below->type() != NodeType::kSymlink) return false;
      return check_parent(tree_->path(id), /*made=*/true);
    }
    case Guess::Kind::kParentProbe:
      return check_parent(std::string(guess.path), /*made=*/false);
    case Guess::Kind::kTargetProbe:
      return symlink_below(guess.path).has_value();
    case Guess::Kind::kNoTarget:
      return leads_elsewhere(guess.path) ||
             walk_merged(lower_.get(), split_path(guess.path), false, false).found.has_value();
    case Guess::Kind::kPendingTarget:
      return check_link(planner_->pending_links()[guess.number]);
    case Guess::Kind::kUnknown:
      break;
  }
  return true;
}

// A parent of an entry, that the plan took for a directory.
Result<bool> Settler::check_parent(const std::string& path, bool made) {
  const auto target = symlink_below(path);
  if (!target) return false;
  // A target that is linked belongs to this layer, whose own symlinks every policy follows.
  if (linked_paths_.contains(path)) return true;
  if (symlink_parents_ == SymlinkParents::kError) {
    return input_error(Code::ERR_SYMLINK_PARENT, "settle", path,
                       "a parent of entries of this layer is a symlink to " + std::string(*target) +
                           " in a lower layer (symlinkParents: 'error')");
  }
  if (symlink_parents_ == SymlinkParents::kFollow) return true;
  if (made) {
    plan_.notes.push_back(
        {"symlink-parent", path,
         "a directory replaces the lower layers' symlink to " + std::string(*target)});
  }
  return false;
}

// Finds what the link links to in the lower layers, as they were to be seen at its place in the
// tar.
Result<bool> Settler::check_link(const PendingLink& link) {
  if (link.via != kNoInode) {
    // A link to a placeholder is what that was at the time.
    const auto via = lower_targets_.find(link.via);
    if (via != lower_targets_.end()) lower_targets_.emplace(link.inode, MergedNode(via->second));
    return false;
  }
  if (!link.saw_lower) return false;
  if (leads_elsewhere(link.target_path)) return true;
  auto source = walk_merged(lower_.get(), split_path(link.target_path), false, false).found;
  if (!source) return false;
  if (source->is_directory()) {
    return refuse_link(link, Code::ERR_INVALID_ENTRY, "is a directory").error();
  }
  if (link.target_path.starts_with(tree_->path(link.name) + "/")) {
    return refuse_link(link, Code::ERR_LINK_TARGET, "lies in the directory that it replaces")
        .error();
  }
  linked_paths_.insert(link.target_path);
  lower_targets_.emplace(link.inode, *std::move(source));
  return false;
}

// The target of the symlink that the lower layers have at `path`, if it is one.
std::optional<std::string_view> Settler::symlink_below(std::string_view path) const {
  const MergedWalk walk = walk_merged(lower_.get(), split_path(path), false, false);
  if (!walk.found || walk.found->type() != NodeType::kSymlink) return std::nullopt;
  return walk.found->inode().target;
}

// Whether the lower layers have a symlink on the way to `path`.
bool Settler::leads_elsewhere(std::string_view path) const {
  return walk_merged(lower_.get(), split_path(path), true, false).met_symlink;
}

}  // namespace ociunpack
