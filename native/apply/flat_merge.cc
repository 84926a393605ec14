#include "apply/flat_merge.h"

#include <fcntl.h>
#include <stdio.h>

#include <cerrno>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "apply/directory.h"
#include "apply/locked_directory.h"
#include "apply/remove.h"
#include "apply/root_dir.h"
#include "apply/set_mode.h"
#include "base/sys.h"

namespace ociunpack {
namespace {

class FlatMerge {
 public:
  FlatMerge(const ApplyContext& context, const LayerTree& tree, RootDir staging, RootDir root)
      : context_(context), tree_(tree), staging_(std::move(staging)), root_(std::move(root)) {}

  // Directories that both sides have, parents first; their metadata is set at last, children first,
  // when nothing moves in or out of them any more.
  Status run(const TreeView* below) {
    std::vector<std::pair<NodeId, std::optional<MergedNode>>> shared;
    shared.emplace_back(kRootNode, merged_root(below));
    for (size_t i = 0; i < shared.size(); ++i) {
      const auto [id, lower] = shared[i];
      OCIUNPACK_TRY(merge_directory(id, lower, [&shared](NodeId child, MergedNode node) {
        shared.emplace_back(child, std::move(node));
      }));
    }
    for (size_t i = shared.size(); i-- > 0;) {
      OCIUNPACK_TRY(set_metadata(shared[i].first, /*is_new=*/!shared[i].second));
    }
    return {};
  }

 private:
  Result<DirHandle> open(const RootDir& side, const std::string& path) const {
    OCIUNPACK_ASSIGN(UniqueFd fd, side.open_directory(path));
    return DirHandle{std::move(fd), path};
  }

  // For changes in it; those above it have been opened so before. `locked`: its mode forbade them.
  Result<DirHandle> open_unlocked(const RootDir& side, const std::string& path,
                                  bool* locked) const {
    Result<UniqueFd> fd = side.open_directory(path);
    UniqueFd found;  // where it may not even be listed
    if (!fd.ok()) {
      if (fd.error().error_number != EACCES) return fd.error();
      if (!path.empty()) {
        OCIUNPACK_ASSIGN(found, side.resolve(path, O_PATH | O_DIRECTORY | O_NOFOLLOW));
      }
    }
    const int own = fd.ok() ? fd.value().get() : path.empty() ? side.fd() : found.get();
    *locked = directory_is_locked(own);
    if (*locked && !unlock_directory(own)) return system_error(errno, "chmod", path);
    if (fd.ok()) return DirHandle{std::move(fd.value()), path};
    return open(side, path);
  }

  Status move(const DirHandle& from, const DirHandle& to, NodeId id) const {
    const std::string name(tree_.node(id).name);
    if (sys::renameat(from.fd.get(), name.c_str(), to.fd.get(), name.c_str()) == 0) return {};
    if (errno != EACCES || !tree_.is_directory(id)) {
      return system_error(errno, "renameat", tree_.path(id));
    }
    // A directory that is moved gets another `..`: its own mode may forbid that.
    const UniqueFd found(
        sys::openat(from.fd.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW));
    if (!found.valid() || !unlock_directory(found.get())) {
      return system_error(errno, "renameat", tree_.path(id));
    }
    const UniqueFd moved(
        sys::openat(from.fd.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (!moved.valid() ||
        sys::renameat(from.fd.get(), name.c_str(), to.fd.get(), name.c_str()) != 0) {
      return system_error(errno, "renameat", tree_.path(id));
    }
    return set_mode(moved.get(), tree_.inode_of(id).mode, tree_.path(id));
  }

  template <typename OnShared>
  Status merge_directory(NodeId id, const std::optional<MergedNode>& lower, OnShared on_shared) {
    const std::string path = tree_.path(id);
    bool locked = false;
    OCIUNPACK_ASSIGN(const DirHandle from, open_unlocked(staging_, path, &locked));
    OCIUNPACK_ASSIGN(const DirHandle to, open_unlocked(root_, path, &locked));
    if (locked) unlocked_.insert(id);
    for (NodeId child = tree_.node(id).first_child; child != kNoNode;
         child = tree_.node(child).next_sibling) {
      if (!tree_.present(child)) continue;
      const Node& node = tree_.node(child);
      std::optional<MergedNode> existing;
      if (lower) existing = merged_child(*lower, node.name);
      const NodeType type = tree_.type_of(child);
      const bool both_directories =
          existing && existing->is_directory() && type == NodeType::kDirectory;
      if (both_directories && !node.opaque) {
        on_shared(child, *std::move(existing));
        continue;
      }
      // rename(2) replaces a file by a file; in all other cases the way must be clear.
      if (existing && (existing->is_directory() || type == NodeType::kDirectory ||
                       type == NodeType::kWhiteout)) {
        OCIUNPACK_TRY(remove_tree(to, node.name));
      }
      if (type == NodeType::kWhiteout) continue;
      OCIUNPACK_TRY(move(from, to, child));
    }
    return {};
  }

  // The root of a bottom layer is new: it must not keep what it has from where it was made.
  Status set_metadata(NodeId id, bool is_new) {
    OCIUNPACK_ASSIGN(const DirHandle own, open(root_, tree_.path(id)));
    const Inode& inode = tree_.inode_of(id);
    if (tree_.node(id).implicit && !is_new) {
      if (unlocked_.contains(id)) {
        OCIUNPACK_TRY(set_mode(own.fd.get(), inode.mode, own.path));
      }
      return restore_times(context_, own, inode.mtime);
    }
    // A directory over a directory: its metadata is replaced, extended attributes included.
    return replace_metadata(context_, own,
                            {inode.mode, inode.uid, inode.gid, inode.mtime, inode.xattrs});
  }

  const ApplyContext& context_;
  const LayerTree& tree_;
  RootDir staging_;
  RootDir root_;
  std::unordered_set<NodeId> unlocked_;  // of the root's directories
};

}  // namespace

Status merge_flat(const ApplyContext& context, const LayerTree& tree, const std::string& staging,
                  const TreeView* below, const std::string& root) {
  OCIUNPACK_ASSIGN(RootDir from, RootDir::open(staging));
  OCIUNPACK_ASSIGN(RootDir to, RootDir::open(root));
  return FlatMerge(context, tree, std::move(from), std::move(to)).run(below);
}

}  // namespace ociunpack
