#include "tree/planner.h"

#include <algorithm>

#include "tree/aufs_names.h"

namespace ociunpack {
namespace {

// Linux's PATH_MAX - 1, for the target of a symlink (symlink(2)).
constexpr size_t kMaxTargetBytes = 4095;
// makedev(3): 12 bits of major and 20 of minor number.
constexpr uint32_t kMaxMajor = 0xFFF;
constexpr uint32_t kMaxMinor = 0xFFFFF;

NodeType node_type(EntryType type) {
  switch (type) {
    case EntryType::kSymlink:
      return NodeType::kSymlink;
    case EntryType::kCharDevice:
      return NodeType::kCharDevice;
    case EntryType::kBlockDevice:
      return NodeType::kBlockDevice;
    case EntryType::kFifo:
      return NodeType::kFifo;
    case EntryType::kDirectory:
      return NodeType::kDirectory;
    case EntryType::kFile:
    case EntryType::kHardlink:
      break;
  }
  return NodeType::kFile;
}

}  // namespace

Planner::Planner(LayerTree* tree, PlanOptions options)
    : tree_(tree), options_(std::move(options)), lower_root_(merged_root(options_.lower)) {}

Error Planner::refuse(const Entry& entry, std::string detail, Code code) const {
  return input_error(code, "tar entry", std::string(entry.path), std::move(detail));
}

// A refusal that rests on where a path leads. Without the lower layers that may be wrong: it is
// kept for settle, which plans anew where one of their symlinks is on the way, and else reports it.
Error Planner::doubt(const Entry& entry, std::string detail, Code code) {
  Error error = refuse(entry, std::move(detail), code);
  if (options_.lower_unknown) doubt_ = error;
  return error;
}

// Splits a name of the layer at '/'. A leading '/', empty components and '.' vanish; '..' takes
// away the component before it, and is refused where there is none (it would leave the root).
Status Planner::clean(const Entry& entry, std::string_view path,
                      std::vector<std::string_view>* components) {
  components->clear();
  size_t start = 0;
  while (start < path.size()) {
    size_t end = path.find('/', start);
    if (end == std::string_view::npos) end = path.size();
    const std::string_view name = path.substr(start, end - start);
    start = end + 1;
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (components->empty()) return refuse(entry, "the name leaves the root by '..'");
      components->pop_back();
      continue;
    }
    // A whiteout's own name is never on disk (but with format aufs), what it hides may be as long
    // as any.
    const bool whiteout = name.starts_with(kWhiteoutPrefix) && !name.starts_with(kAufsPrefix);
    const auto shown = whiteout ? name.substr(kWhiteoutPrefix.size()) : name;
    if (!within_limits(shown, components->size() + 1)) return beyond_limits(entry.path, shown);
    components->push_back(name);
  }
  return {};
}

Error Planner::beyond_limits(std::string_view path, std::string_view component) const {
  if (component.size() > kMaxNameBytes) {
    return input_error(Code::ERR_INVALID_ENTRY, "tar entry", std::string(path),
                       "a component of the name is longer than 255 bytes");
  }
  return input_error(Code::ERR_LIMIT_EXCEEDED, "tar entry", std::string(path),
                     "the name has more than " + std::to_string(options_.limits.max_path_depth) +
                         " components (limit maxPathDepth)");
}

Result<const PlanStep*> Planner::add(const Entry& entry) {
  clear_step();
  if (doubt_) {
    OCIUNPACK_TRY(collect_marks(entry));
    return &step_;
  }
  auto step = plan(entry);
  if (step.ok() || !doubt_) return step;
  // What the step has done to directories still holds, the entry itself is passed over.
  step_.kind = PlanStep::Kind::kSkip;
  return &step_;
}

// After a doubt: what settle must know to tell what the lower layers still show.
Status Planner::collect_marks(const Entry& entry) {
  OCIUNPACK_TRY(clean(entry, entry.path, &components_));
  if (components_.empty()) return {};
  OCIUNPACK_ASSIGN(const bool marked, take_mark(entry));
  if (marked || entry.type != EntryType::kDirectory) return {};
  name_directory();
  return {};
}

// An entry has named components_ as a directory, wherever symlinks have led it.
void Planner::name_directory() {
  NodeId at = kRootNode;
  for (const std::string_view name : components_) at = tree_->find_or_add(at, name);
  tree_->node(at).named_directory = true;
}

void Planner::clear_step() {
  step_.kind = PlanStep::Kind::kSkip;
  step_.node = step_.link_source = step_.removed = kNoNode;
  step_.dead_directories.clear();
  step_.made_directories.clear();
}

Result<const PlanStep*> Planner::plan(const Entry& entry) {
  if (entry.path.empty()) return refuse(entry, "the name is empty");
  // The quick way: the same parent as the entry before.
  const size_t slash = entry.path.rfind('/');
  const std::string_view base =
      slash == std::string_view::npos ? std::string_view() : entry.path.substr(slash + 1);
  if (last_parent_node_ != kNoNode && !base.empty() && base.size() <= kMaxNameBytes &&
      base.front() != '.' && entry.path.substr(0, slash) == last_parent_) {
    if (entry.type == EntryType::kDirectory) return add_directory(entry, last_parent_node_, base);
    if (entry.type == EntryType::kHardlink) return add_hardlink(entry, last_parent_node_, base);
    return add_other(entry, last_parent_node_, base);
  }

  OCIUNPACK_TRY(clean(entry, entry.path, &components_));
  if (components_.empty()) {
    if (entry.type != EntryType::kDirectory) {
      return refuse(entry, "only a directory can be the root of a layer");
    }
    set_metadata(&tree_->inode_of(kRootNode), entry);
    tree_->node(kRootNode).implicit = false;
    step_.kind = PlanStep::Kind::kDirectory;
    step_.node = kRootNode;
    return &step_;
  }
  const std::string_view last = base.empty() ? entry.path.substr(0, entry.path.size()) : base;
  if ((last == "." || last == ".." || last.ends_with("/.") || last.ends_with("/..")) &&
      entry.type != EntryType::kDirectory) {
    return refuse(entry, "'.' and '..' can only name a directory");
  }
  OCIUNPACK_ASSIGN(const bool marked, take_mark(entry));
  if (marked) return &step_;

  const std::string_view name = components_.back();
  components_.pop_back();
  // Below `.wh..wh.plnk` no name is a whiteout's.
  if (!within_limits(name, components_.size() + 1)) return beyond_limits(entry.path, name);
  OCIUNPACK_ASSIGN(const NodeId parent, parent_of(entry));
  parent_as_named_ = std::equal(
      places_.begin(), places_.end(), components_.begin(), components_.end(),
      [](const Place& place, std::string_view component) { return place.name == component; });
  // Only a name that is spelled plainly serves as a key for the next entry.
  last_parent_node_ = kNoNode;
  if (!base.empty() && step_.removed == kNoNode) {
    last_parent_.assign(entry.path.substr(0, slash));
    last_parent_node_ = parent;
  }
  if (entry.type == EntryType::kDirectory) return add_directory(entry, parent, name);
  if (entry.type == EntryType::kHardlink) return add_hardlink(entry, parent, name);
  return add_other(entry, parent, name);
}

// Whiteouts, opaque markers and aufs bookkeeping. True when the entry was one and is dealt with.
Result<bool> Planner::take_mark(const Entry& entry) {
  for (size_t i = 0; i < components_.size(); ++i) {
    const std::string_view name = components_[i];
    if (!name.starts_with(kWhiteoutPrefix)) continue;
    const bool is_last = i + 1 == components_.size();
    if (is_last && name == kOpaqueName) {
      add_mark({});
      return true;
    }
    if (name.starts_with(kAufsPrefix)) {
      // aufs keeps the content of hardlinked files in /.wh..wh.plnk; it stays until the links are
      // made, and is no part of the layer then.
      if (i == 0 && name == kPlinkName && (!is_last || entry.type == EntryType::kDirectory)) {
        return false;
      }
      notes_.push_back({"entry-skipped", std::string(entry.path), "aufs bookkeeping, not a file"});
      return true;
    }
    if (!is_last) return refuse(entry, "a whiteout cannot be a directory with entries");
    const std::string_view hidden = name.substr(kWhiteoutPrefix.size());
    if (hidden.empty() || hidden == "." || hidden == "..") {
      return refuse(entry, "a whiteout must name what it hides");
    }
    add_mark(hidden);
    return true;
  }
  const bool is_null_device =
      entry.type == EntryType::kCharDevice && entry.dev_major == 0 && entry.dev_minor == 0;
  if (is_null_device) {
    if (!options_.accept_device_whiteouts) {
      return refuse(entry,
                    "a character device 0:0 is overlayfs' own whiteout; allow it with "
                    "deviceWhiteouts: 'accept'",
                    Code::ERR_DEVICE);
    }
    add_mark(components_.back());
    return true;
  }
  return false;
}

// A mark in the directory that components_ name, but for the last one. Marks come directory by
// directory mostly: those in a row share its path.
void Planner::add_mark(std::string_view name) {
  std::string directory;
  for (size_t i = 0; i + 1 < components_.size(); ++i) {
    directory.append(i > 0 ? "/" : "").append(components_[i]);
  }
  const bool known = !marks_.empty() && marks_.back().directory == directory;
  marks_.push_back(
      {known ? marks_.back().directory : mark_texts_.copy(directory), mark_texts_.copy(name)});
}

// Resolves `components` in what this layer has (and, with `lower`, in what is below it), following
// symlinks inside the root, into places_. Makes nothing.
Status Planner::walk(const Entry& entry, const std::vector<std::string_view>& components,
                     Purpose purpose) {
  places_.clear();
  if (purpose == Purpose::kParent) lower_symlinks_.clear();
  std::vector<std::string_view> pending(components.rbegin(), components.rend());
  int symlinks = 0;
  while (!pending.empty()) {
    const std::string_view name = pending.back();
    pending.pop_back();
    if (name == "..") {
      if (places_.empty()) continue;
      if (places_.back().node == kNoNode && walked_merges()) {
        guess_walked(purpose == Purpose::kParent ? Guess::Kind::kParentProbe
                                                 : Guess::Kind::kTargetProbe);
      }
      places_.pop_back();
      continue;
    }
    const NodeId above = places_.empty() ? kRootNode : places_.back().node;
    const NodeId found = above == kNoNode ? kNoNode : tree_->find(above, name);
    if (found != kNoNode && tree_->type_of(found) == NodeType::kSymlink) {
      OCIUNPACK_TRY(follow(entry, tree_->inode_of(found).target, &symlinks, &pending));
      continue;
    }
    if (found != kNoNode && tree_->type_of(found) == NodeType::kPendingLink) {
      guess(Guess::Kind::kUnknown, {});
    }
    if (found == kNoNode && options_.lower != nullptr) {
      OCIUNPACK_ASSIGN(const bool followed,
                       follow_lower(entry, name, purpose, &symlinks, &pending));
      if (followed) continue;
    }
    // A symlink's target may have components that no entry's name could have, and more of them.
    if (!within_limits(name, places_.size() + 1)) {
      Error error = beyond_limits(entry.path, name);
      if (options_.lower_unknown) doubt_ = error;
      return error;
    }
    const bool is_cut = found != kNoNode && tree_->node(found).cut_at != kNeverCut;
    places_.push_back({found, name, walked_merges() && !is_cut, std::nullopt});
  }
  return {};
}

std::string Planner::walked_path() const {
  std::string path;
  for (const Place& place : places_) path.append(path.empty() ? "" : "/").append(place.name);
  return path;
}

// What the lower layers show under `name` at places_; nothing where this layer has cut it off.
// Found from what they show above it: walked from the root for each name, a deep path would cost
// the square of its depth.
std::optional<MergedNode> Planner::lower_child(std::string_view name) {
  if (!walked_merges()) return std::nullopt;
  size_t known = places_.size();
  while (known > 0 && !places_[known - 1].lower) --known;
  const std::optional<MergedNode>* above = known > 0 ? &*places_[known - 1].lower : &lower_root_;
  for (; known < places_.size(); ++known) {
    above = &places_[known].lower.emplace(merged_child(*above, places_[known].name));
  }
  return merged_child(*above, name);
}

void Planner::guess(Guess::Kind kind, std::string_view path, size_t number) {
  if (options_.lower_unknown) guesses_.push_back({kind, number, tree_->keep(path)});
}

// A symlink of 4,095 bytes, walked by entry after entry, probes a thousand paths each time: beyond
// what is worth its memory, only the lower layers can tell.
void Planner::guess_walked(Guess::Kind kind) {
  constexpr size_t kMostProbeBytes = 16 << 20;
  if (!options_.lower_unknown || probe_bytes_ > kMostProbeBytes) return;
  const std::string path = walked_path();
  probe_bytes_ += sizeof(Guess) + path.size();
  if (probe_bytes_ > kMostProbeBytes) kind = Guess::Kind::kUnknown;
  guess(kind, kind == Guess::Kind::kUnknown ? std::string_view() : path);
}

Status Planner::follow(const Entry& entry, std::string_view target, int* symlinks,
                       std::vector<std::string_view>* pending) {
  if (++*symlinks > kMaxSymlinks) {
    return doubt(entry, "more than 40 symlinks in the path: a loop");
  }
  if (!target.empty() && target.front() == '/') places_.clear();
  const std::vector<std::string_view> more = split_path(target);
  pending->insert(pending->end(), more.rbegin(), more.rend());
  return {};
}

// Whether `name`, which this layer does not have under places_, is a symlink below that is
// followed.
Result<bool> Planner::follow_lower(const Entry& entry, std::string_view name, Purpose purpose,
                                   int* symlinks, std::vector<std::string_view>* pending) {
  const std::optional<MergedNode> below = lower_child(name);
  if (!below || below->type() != NodeType::kSymlink) return false;
  const std::string_view target = below->inode().target;
  // The policy is about parents; nothing is replaced on the way to a hardlink's target.
  if (purpose == Purpose::kLinkTarget) {
    OCIUNPACK_TRY(follow(entry, target, symlinks, pending));
    return true;
  }
  if (options_.symlink_parents == SymlinkParents::kReplace) return false;
  const std::string above = walked_path();
  const std::string full = above.empty() ? std::string(name) : above + "/" + std::string(name);
  if (options_.symlink_parents == SymlinkParents::kError) {
    return refuse(entry,
                  "its parent " + full + " is a symlink to " + std::string(target) +
                      " in a lower layer (symlinkParents: 'error')",
                  Code::ERR_SYMLINK_PARENT);
  }
  notes_.push_back({"symlink-parent", std::string(entry.path),
                    "followed the lower layer's symlink " + full + " -> " + std::string(target)});
  lower_symlinks_.push_back(below->view->tree().node(below->node).name);
  OCIUNPACK_TRY(follow(entry, target, symlinks, pending));
  return true;
}

// The directory that components_ name, made where it is missing.
Result<NodeId> Planner::parent_of(const Entry& entry) {
  OCIUNPACK_TRY(walk(entry, components_, Purpose::kParent));
  return make_walked(entry.index);
}

NodeId Planner::make_walked(uint64_t entry_number) {
  NodeId directory = kRootNode;
  for (const Place& place : places_) {
    const NodeId id = tree_->find_or_add(directory, place.name);
    if (!tree_->is_directory(id)) {
      // What stands here is no directory: a sequential apply replaces it.
      if (tree_->present(id)) displace(id);
      make_directory(id, entry_number);
      tree_->node(id).implicit = true;
      if (tree_->merges_at(id, entry_number)) guess(Guess::Kind::kDirectory, {}, id);
    }
    directory = id;
  }
  return directory;
}

void Planner::place_new(NodeId id, InodeId inode, uint64_t entry_number) {
  Node& node = tree_->node(id);
  if (!tree_->present(id) && !node.in_child_list) node.cut_at = kNeverCut;  // a fresh life
  if (std::find(lower_symlinks_.begin(), lower_symlinks_.end(), node.name) !=
      lower_symlinks_.end()) {
    last_parent_node_ = kNoNode;
  }
  node.implicit = false;
  tree_->place(id, inode);
  if (tree_->inode(inode).type != NodeType::kDirectory) {
    node.cut_at = std::min(node.cut_at, entry_number);
  }
}

void Planner::make_directory(NodeId id, uint64_t entry_number) {
  const InodeId inode = tree_->new_inode(NodeType::kDirectory, id);
  tree_->inode(inode).entry = entry_number;
  place_new(id, inode, entry_number);
  step_.made_directories.push_back(id);
  const Node& node = tree_->node(id);
  if (node.parent == kRootNode && node.name == kPlinkName) plink_directory_ = id;
}

bool Planner::on_disk(NodeId id) const {
  const Inode& inode = tree_->inode_of(id);
  return inode.type != NodeType::kPendingLink && !inode.copied_up;
}

void Planner::release(NodeId id) {
  const InodeId inode_id = tree_->node(id).inode;
  tree_->remove(id);
  Inode& inode = tree_->inode(inode_id);
  if (inode.home != id) return;
  const auto links = hardlinks_.find(inode_id);
  if (links == hardlinks_.end()) return;
  // What the search passes over is forgotten: names may be taken away one by one.
  std::vector<NodeId>& names = links->second;
  while (!names.empty() && tree_->node(names.back()).inode != inode_id) names.pop_back();
  if (!names.empty()) inode.home = names.back();
}

void Planner::displace(NodeId id) {
  last_parent_node_ = kNoNode;
  if (on_disk(id)) step_.removed = id;
  std::vector<NodeId> pending{id};
  while (!pending.empty()) {
    const NodeId at = pending.back();
    pending.pop_back();
    if (tree_->is_directory(at)) {
      step_.dead_directories.push_back(at);
      for (NodeId child = tree_->node(at).first_child; child != kNoNode;
           child = tree_->node(child).next_sibling) {
        if (tree_->present(child)) pending.push_back(child);
      }
      tree_->clear_children(at);
    }
    release(at);
  }
}

void Planner::set_metadata(Inode* inode, const Entry& entry) {
  inode->mode = static_cast<uint16_t>(entry.mode & 07777);
  inode->uid = entry.uid;
  inode->gid = entry.gid;
  inode->mtime = entry.mtime;
  inode->entry = entry.index;
  inode->xattrs = tree_->keep_xattrs(entry.xattrs);
}

Result<const PlanStep*> Planner::add_directory(const Entry& entry, NodeId parent,
                                               std::string_view name) {
  const NodeId id = tree_->find_or_add(parent, name);
  if (!tree_->is_directory(id)) {
    if (tree_->present(id)) displace(id);
    make_directory(id, entry.index);
  }
  set_metadata(&tree_->inode_of(id), entry);
  tree_->node(id).implicit = false;
  if (parent_as_named_) {
    tree_->node(id).named_directory = true;
  } else {
    OCIUNPACK_TRY(clean(entry, entry.path, &components_));
    name_directory();
  }
  step_.kind = PlanStep::Kind::kDirectory;
  step_.node = id;
  return &step_;
}

Result<const PlanStep*> Planner::add_other(const Entry& entry, NodeId parent,
                                           std::string_view name) {
  if (entry.type == EntryType::kSymlink) {
    if (entry.linkpath.empty()) return refuse(entry, "a symlink without a target");
    if (entry.linkpath.size() > kMaxTargetBytes) {
      return refuse(entry, "the symlink's target is longer than 4095 bytes");
    }
  } else if (entry.type == EntryType::kCharDevice || entry.type == EntryType::kBlockDevice) {
    if (entry.dev_major > kMaxMajor || entry.dev_minor > kMaxMinor) {
      return refuse(entry,
                    "the device number " + std::to_string(entry.dev_major) + ":" +
                        std::to_string(entry.dev_minor) + " is out of range",
                    Code::ERR_DEVICE);
    }
    if (entry.type == EntryType::kCharDevice && entry.dev_major == 0 && entry.dev_minor == 0) {
      // The quick way of add() passes take_mark() by.
      components_ = split_path(entry.path);
      OCIUNPACK_ASSIGN(const bool marked, take_mark(entry));
      if (marked) return &step_;
    }
  }
  const NodeId id = tree_->find_or_add(parent, name);
  if (tree_->present(id)) displace(id);
  // A new symlink may change where a name with `..` in a symlink's target leads.
  if (entry.type == EntryType::kSymlink) last_parent_node_ = kNoNode;
  const InodeId inode_id = tree_->new_inode(node_type(entry.type), id);
  Inode& inode = tree_->inode(inode_id);
  set_metadata(&inode, entry);
  inode.size = entry.size;
  if (entry.type == EntryType::kSymlink) inode.target = tree_->keep(entry.linkpath);
  inode.dev_major = entry.dev_major;
  inode.dev_minor = entry.dev_minor;
  place_new(id, inode_id, entry.index);
  step_.kind = PlanStep::Kind::kCreate;
  step_.node = id;
  return &step_;
}

}  // namespace ociunpack
