// Settle: finishes what one layer's tree could not know without the layers below: whiteouts and
// opaque directories, the attributes of directories that it did not name, hardlinks into lower
// layers; and tells when the first pass was wrong about a symlink below. In memory only; the plan
// says what is to be done on disk. Settled in order, bottom first; the rules are SEMANTICS.md's.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/note.h"
#include "base/result.h"
#include "tree/planner.h"
#include "tree/tree.h"
#include "tree/view.h"

namespace ociunpack {

struct SettlePlan {
  // The layer must be planned and unpacked again, from the start, with `lower` given to the
  // planner: a parent of some entry is a symlink below. Nothing else of this plan holds then.
  bool replan = false;

  struct CopyUp {
    NodeId node;        // to be made here, as a copy of
    MergedNode source;  // this path of a lower layer
  };
  struct Link {
    NodeId source;
    NodeId node;
  };
  // In this order on disk:
  NodeId plink_directory = kNoNode;      // to be removed, whole
  std::vector<NodeId> made_directories;  // to be made
  std::vector<CopyUp> copy_ups;
  std::vector<Link> links;
  std::vector<NodeId> whiteouts;
  std::vector<NodeId> opaque_directories;    // to be marked
  std::vector<NodeId> implicit_directories;  // whose metadata is known only now; made ones included
  std::vector<Note> notes;
};

// After the last entry of a layer: every cut has happened, kNeverCut has not.
inline constexpr uint64_t kEndOfLayer = kNeverCut - 1;

class Settler {
 public:
  // `planner` has seen the whole layer and made `tree`; `below` is null for a bottom layer.
  Settler(LayerTree* tree, Planner* planner, std::shared_ptr<const TreeView> below,
          SymlinkParents symlink_parents, bool lower_was_known);

  // Changes the tree to its final state. Errors: ERR_LINK_TARGET, ERR_SYMLINK_PARENT,
  // ERR_INVALID_ENTRY.
  Result<SettlePlan> run();

  // The lower layers without what this layer's whiteouts hide; for a planner that starts again.
  // Valid after run(). Null for a bottom layer.
  std::shared_ptr<const TreeView> lower() const { return lower_; }

 private:
  struct ResolvedMark {
    const Mark* mark;
    NodeId directory;       // in directories_: its real path in the lower layers
    size_t depth;           // the components of that path
    bool shows = false;     // the lower layers show what it hides
    NodeId node = kNoNode;  // the directory in this layer's tree
  };

  Status resolve_marks();
  void build_lower();
  Result<bool> check_guesses();
  Result<bool> was_wrong(const Guess& guess);
  Result<bool> check_parent(const std::string& path, bool made);
  Result<bool> check_link(const PendingLink& link);
  std::optional<std::string_view> symlink_below(std::string_view path) const;
  const std::optional<MergedNode>& lower_at(NodeId id);
  bool leads_elsewhere(std::string_view path) const;
  void apply_marks();
  void hide_root();
  void hide(NodeId directory, std::string_view name, bool shows);
  void mark_cut_directories();
  Status settle_links();
  void link_lower_targets();
  Status link_deferred();
  Result<NodeId> link_one_deferred(const PendingLink& link);
  struct Target;
  Result<Target> walk_target(const PendingLink& link) const;
  Status refuse_link(const PendingLink& link, Code code, const char* why) const;
  void name_in_this_layer(const std::vector<std::string_view>& path, const MergedNode& source);
  void plan_links();
  void inherit_attributes();
  bool was_cut(const std::vector<std::string_view>& path) const;
  NodeId ensure_directory(const std::vector<std::string_view>& path);
  std::vector<bool> own_directories(const std::vector<std::string_view>& path) const;
  std::vector<std::string_view> path_of(const ResolvedMark& mark) const;
  void clear_the_way(const std::vector<std::string_view>& directory);
  void hide_in_mask(const std::vector<std::string_view>& path, std::string_view name);

  LayerTree* tree_;
  Planner* planner_;
  std::shared_ptr<const TreeView> below_;
  SymlinkParents symlink_parents_;
  bool lower_was_known_;
  std::shared_ptr<LayerTree> mask_;
  std::shared_ptr<const TreeView> lower_;
  std::unordered_map<NodeId, std::optional<MergedNode>> lower_at_;
  std::vector<ResolvedMark> marks_;
  LayerTree directories_;  // paths of marks' directories: a tree, however deep they are and many
  // What pending links link to, by the link's placeholder, where the lower layers had it then.
  std::unordered_map<InodeId, MergedNode> lower_targets_;
  std::set<std::string> linked_paths_;  // those targets' own
  std::vector<NodeId> more_links_;      // names that settle itself has linked
  SettlePlan plan_;
};

}  // namespace ociunpack
