#include "tree/view.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

namespace ociunpack {
namespace {

// Adds `view`'s layer to the merged path `result`. Returns false when nothing lower can show.
bool merge_layer(const TreeView* view, NodeId id, MergedNode* result) {
  const LayerTree& tree = view->tree();
  const NodeType type = tree.type_of(id);
  if (type == NodeType::kWhiteout) return false;
  if (type != NodeType::kDirectory) {
    // overlayfs stops at the first thing that is not a directory; below an upper directory it
    // hides.
    if (result->view == nullptr) {
      result->view = view;
      result->node = id;
    }
    return false;
  }
  result->parts.emplace_back(view, id);
  if (!view->transparent() && result->view == nullptr) {
    result->view = view;
    result->node = id;
  }
  return !tree.node(id).opaque;
}

// A transparent opaque directory hides what lies in the lower directories, not that they exist.
void find_attributes(const MergedNode& directory, size_t next_part, std::string_view name,
                     MergedNode* result) {
  for (size_t i = next_part; i < directory.parts.size() && result->view == nullptr; ++i) {
    const auto& [view, id] = directory.parts[i];
    const NodeId child = view->tree().find(id, name);
    if (child == kNoNode) continue;
    if (view->tree().type_of(child) == NodeType::kWhiteout) return;
    result->view = view;
    result->node = child;
  }
}

}  // namespace

Result<UniqueFd> TreeView::open_directory() const {
  const auto open = [](const std::string& path) {
    return UniqueFd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  };
  UniqueFd fd = open(directory_);
  if (fd.valid()) return fd;
  const int error = errno;
  const std::lock_guard lock(mutex_);
  if (error != ENOENT || moved_to_.empty()) return system_error(error, "open", directory_);
  fd = open(moved_to_);
  if (!fd.valid()) return system_error(errno, "open", moved_to_);
  return fd;
}

void TreeView::move_directory(std::string path) const {
  const std::lock_guard lock(mutex_);
  moved_to_ = std::move(path);
}

std::optional<MergedNode> merged_root(const TreeView* view) {
  if (view == nullptr) return std::nullopt;
  MergedNode root;
  bool hidden = false;
  for (; view != nullptr; view = view->below()) {
    if (!hidden) {
      hidden = !merge_layer(view, kRootNode, &root);
    } else if (root.view == nullptr && !view->transparent()) {
      root.view = view;
      root.node = kRootNode;
    }
  }
  if (root.view == nullptr) return std::nullopt;
  return root;
}

std::optional<MergedNode> merged_child(const MergedNode& directory, std::string_view name) {
  MergedNode child;
  for (size_t i = 0; i < directory.parts.size(); ++i) {
    const auto& [view, id] = directory.parts[i];
    const NodeId found = view->tree().find(id, name);
    if (found == kNoNode) continue;
    if (!merge_layer(view, found, &child)) {
      const bool hidden_here = view->transparent() && view->tree().is_directory(found);
      if (hidden_here) find_attributes(directory, i + 1, name, &child);
      break;
    }
  }
  // Only transparent directories: nothing is there.
  if (child.view == nullptr) return std::nullopt;
  if (!child.is_directory()) child.parts.clear();
  return child;
}

std::optional<MergedNode> merged_child(const std::optional<MergedNode>& above,
                                       std::string_view name) {
  if (!above || !above->is_directory()) return std::nullopt;
  return merged_child(*above, name);
}

void for_each_merged_name(const MergedNode& directory,
                          const std::function<void(std::string_view)>& visit) {
  for (size_t i = 0; i < directory.parts.size(); ++i) {
    const auto& [view, id] = directory.parts[i];
    const LayerTree& tree = view->tree();
    // The trees' own search tells what was visited: a set of names, which may be hostile, would
    // have to have a secret hash too.
    const auto is_above = [&](std::string_view name) {
      return std::any_of(directory.parts.begin(),
                         directory.parts.begin() + static_cast<ptrdiff_t>(i),
                         [name](const auto& part) {
                           return part.first->tree().find(part.second, name) != kNoNode;
                         });
    };
    for (NodeId child = tree.node(id).first_child; child != kNoNode;
         child = tree.node(child).next_sibling) {
      const std::string_view name = tree.node(child).name;
      if (!tree.present(child) || is_above(name)) continue;
      if (merged_child(directory, name)) visit(name);
    }
  }
}

std::vector<std::string_view> split_path(std::string_view path) {
  std::vector<std::string_view> components;
  size_t start = 0;
  while (start < path.size()) {
    size_t end = path.find('/', start);
    if (end == std::string_view::npos) end = path.size();
    const std::string_view name = path.substr(start, end - start);
    if (!name.empty() && name != ".") components.push_back(name);
    start = end + 1;
  }
  return components;
}

MergedWalk walk_merged(const TreeView* view, const std::vector<std::string_view>& components,
                       bool follow, bool follow_last, const std::vector<bool>& keep) {
  MergedWalk walk;
  std::vector<std::optional<MergedNode>> nodes{merged_root(view)};
  std::vector<std::string_view> pending(components.rbegin(), components.rend());
  int symlinks = 0;
  while (!pending.empty()) {
    const std::string_view name = pending.back();
    pending.pop_back();
    if (name == "..") {
      if (!walk.path.empty()) {
        walk.path.pop_back();
        nodes.pop_back();
      }
      continue;
    }
    std::optional<MergedNode> child = merged_child(nodes.back(), name);
    const size_t at = components.size() - pending.size() - 1;  // while no symlink was followed
    const bool kept = symlinks == 0 && at < keep.size() && keep[at];
    if (child && child->type() == NodeType::kSymlink && !kept &&
        (!pending.empty() || follow_last)) {
      walk.met_symlink = true;
      if (follow) {
        if (++symlinks > kMaxSymlinks) {
          walk.loop = true;
          return walk;
        }
        const std::string_view target = child->inode().target;
        if (!target.empty() && target.front() == '/') {
          walk.path.clear();
          nodes.resize(1);
        }
        const auto more = split_path(target);
        pending.insert(pending.end(), more.rbegin(), more.rend());
        continue;
      }
    }
    walk.path.push_back(name);
    nodes.push_back(std::move(child));
  }
  walk.found = std::move(nodes.back());
  return walk;
}

}  // namespace ociunpack
