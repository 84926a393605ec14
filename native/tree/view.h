// TreeView: the merged view of a stack of settled layer trees, as overlayfs would show them: the
// upper layer's name wins, directories merge, whiteouts and opaque directories hide what is lower.
// Immutable (but for where the files lie) and shared; safe to read from any thread.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tree/tree.h"

namespace ociunpack {

class TreeView {
 public:
  // `tree` on top of `below` (null: nothing is below). `directory` is where the layer's files lie;
  // empty for trees without files. A `transparent` tree only hides (its directories have no
  // attributes of their own and vanish where nothing lies below): the whiteouts of a layer that is
  // being settled.
  TreeView(std::shared_ptr<const LayerTree> tree, std::string directory,
           std::shared_ptr<const TreeView> below, bool transparent = false)
      : tree_(std::move(tree)),
        directory_(std::move(directory)),
        below_(std::move(below)),
        transparent_(transparent) {}

  const LayerTree& tree() const { return *tree_; }
  const TreeView* below() const { return below_.get(); }
  // Where the files lie, O_PATH. Opened when it is wanted: an image may have more layers than a
  // process may have descriptors, and few are ever copied from.
  Result<UniqueFd> open_directory() const;
  // The directory has been moved to `path`, or will be: it is looked for in both places.
  void move_directory(std::string path) const;
  bool transparent() const { return transparent_; }

 private:
  std::shared_ptr<const LayerTree> tree_;
  std::string directory_;
  mutable std::mutex mutex_;
  mutable std::string moved_to_;
  std::shared_ptr<const TreeView> below_;
  bool transparent_;
};

// One path of the merged view.
struct MergedNode {
  const TreeView* view = nullptr;  // the layer that this path's attributes and content come from
  NodeId node = kNoNode;
  // Of a directory: every layer's directory that it is merged from, the top one first.
  std::vector<std::pair<const TreeView*, NodeId>> parts;

  const Inode& inode() const { return view->tree().inode_of(node); }
  NodeType type() const { return inode().type; }
  bool is_directory() const { return type() == NodeType::kDirectory; }
};

// The merged root of `view`; nothing where `view` is null.
std::optional<MergedNode> merged_root(const TreeView* view);

// What the merged directory shows under `name`; nothing where it shows nothing.
std::optional<MergedNode> merged_child(const MergedNode& directory, std::string_view name);

// The same of what may be nothing, or no directory: then nothing lies there.
std::optional<MergedNode> merged_child(const std::optional<MergedNode>& above,
                                       std::string_view name);

// Calls `visit` once for each name that the merged directory shows.
void for_each_merged_name(const MergedNode& directory,
                          const std::function<void(std::string_view)>& visit);

// A path that is walked through the merged view, following symlinks inside the root.
struct MergedWalk {
  std::vector<std::string_view> path;  // the real path: no symlinks where something exists
  std::optional<MergedNode> found;     // what lies there; nothing where the view ends before it
  bool met_symlink = false;            // some component on the way was a symlink
  bool loop = false;                   // more than 40 symlinks: a loop
};

// Walks `components` from the root. `follow` says whether symlinks on the way are followed (the
// last component only with `follow_last`); without it they count as what they are: not directories.
// Components that do not exist are kept as they are, `..` goes up and stops at the root. Component
// i is not followed where keep[i] is true and no symlink before it was.
MergedWalk walk_merged(const TreeView* view, const std::vector<std::string_view>& components,
                       bool follow, bool follow_last, const std::vector<bool>& keep = {});

// Splits at '/', leaving out empty components and ".".
std::vector<std::string_view> split_path(std::string_view path);

// The Linux kernel's limit of symlinks in one path resolution (path_resolution(7)).
inline constexpr int kMaxSymlinks = 40;

}  // namespace ociunpack
