// Planner: takes a layer's entries in tar order and keeps the LayerTree that a sequential apply
// would have at that point; says for each entry what has to happen on disk. It knows no file
// system: all names, symlinks and `..` are resolved here, in memory, so that no name of a layer is
// ever resolved by the kernel across a symlink. Used by one strand; whiteouts are only collected
// (settle.h).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "base/limits.h"
#include "base/note.h"
#include "base/result.h"
#include "tar/entry.h"
#include "tree/tree.h"
#include "tree/view.h"

namespace ociunpack {

// What to do where a parent of an entry is a symlink in a lower layer (SEMANTICS.md, row 5).
enum class SymlinkParents : uint8_t { kFollow, kReplace, kError };

struct PlanOptions {
  SymlinkParents symlink_parents = SymlinkParents::kFollow;
  bool accept_device_whiteouts = false;
  Limits limits;
  // The lower layers without what this layer's whiteouts hide. Null in the first pass over a layer
  // (they may not be there yet) and for a bottom layer.
  const TreeView* lower = nullptr;
  // There are lower layers, and `lower` is not known yet.
  bool lower_unknown = false;
};

// A whiteout or an opaque marker, as the layer names it. Settle resolves it: it speaks of the lower
// layers, and the layer may name it before or after anything else.
struct Mark {
  std::string_view directory;  // cleaned, symlinks not resolved; "" is the root
  std::string_view name;       // what it hides; empty: the directory is opaque
};

struct PlanStep {
  enum class Kind : uint8_t {
    kSkip,       // nothing on disk
    kDirectory,  // a directory, new (then it is in made_directories) or merged
    kCreate,     // a file, symlink, device or fifo; the entry's body is its content
    kLink,       // a hardlink to link_source
  };
  Kind kind = Kind::kSkip;
  NodeId node = kNoNode;
  NodeId link_source = kNoNode;
  // A path that is on disk and must be removed, whole, before anything else of this step; all work
  // that was begun for this layer must have ended before that.
  NodeId removed = kNoNode;
  std::vector<NodeId> dead_directories;  // directories that this removal takes away
  std::vector<NodeId> made_directories;  // to be made, in this order
};

// A hardlink whose target this layer had not named when it came (model: a placeholder).
struct PendingLink {
  InodeId inode;  // kPendingLink; its `target` as the layer says it, cleaned, `entry` its number
  InodeId via;    // the placeholder that it points to; kNoInode
  NodeId name;    // where it was put; something else may lie there by now
  std::string target_path;  // where its target led when it came, this layer's symlinks followed
  bool saw_lower;           // that path still merged with the lower layers then
};

// Makes an inode of `to` a copy of the lower layers' one, to be copied up.
void copy_lower_inode(const MergedNode& from, LayerTree* to, InodeId inode_id);

// What a plan without the lower layers took them to be, where that decides what is right. As long
// as all guesses up to an entry hold, so does the plan up to it.
struct Guess {
  enum class Kind : uint8_t {
    kDirectory,     // no symlink where a directory was made without being named
    kParentProbe,   // no symlink where a parent was only walked through (`a` in a target `a/../b`)
    kTargetProbe,   // the same on the way to a hardlink's target
    kUnknown,       // the path went through a pending link: only the lower layers can tell
    kNoTarget,      // no file that a link with a body links to
    kPendingTarget  // no symlink on the way to a pending link's target
  };
  Kind kind;
  size_t number = 0;      // kDirectory: its node; kPendingTarget: the link's place in the list
  std::string_view path;  // of the others, but for kUnknown; in the tree's arena
};

class Planner {
 public:
  // `tree` must outlive the planner; `options.lower` too.
  Planner(LayerTree* tree, PlanOptions options);

  // Plans the next entry. The step is valid until the next call. Errors: ERR_INVALID_ENTRY,
  // ERR_LIMIT_EXCEEDED, ERR_SYMLINK_PARENT, ERR_LINK_TARGET; each names the entry's path.
  Result<const PlanStep*> add(const Entry& entry);

  const std::vector<Mark>& marks() const { return marks_; }
  // In the order in which they were made; empty unless `lower_unknown`.
  const std::vector<Guess>& guesses() const { return guesses_; }
  // In the order of the tar; whatever became of them.
  const std::vector<PendingLink>& pending_links() const { return pending_links_; }
  // Nodes that were given an inode whose content is not this layer's: pending links, and (with
  // `lower`) links to lower files. Some may have been replaced since, some come twice.
  const std::vector<NodeId>& unsettled_links() const { return unsettled_links_; }
  // Where the content of an inode that is copied up lies; known only with `lower`.
  const std::unordered_map<InodeId, MergedNode>& copy_sources() const { return copy_sources_; }
  // Why an entry had to be refused, if the lower layers do not change where its paths lead; all
  // that came after it was passed over.
  const std::optional<Error>& doubt() const { return doubt_; }
  // The aufs pseudo directory `.wh..wh.plnk`, kept while the layer is applied; kNoNode without one.
  NodeId plink_directory() const { return plink_directory_; }
  // Whether a component may be the depth-th of a path, and what is wrong if it may not. Apart,
  // since the first is asked of every component of every entry.
  bool within_limits(std::string_view component, size_t depth) const {
    return component.size() <= kMaxNameBytes && depth <= options_.limits.max_path_depth;
  }
  Error beyond_limits(std::string_view path, std::string_view component) const;
  std::vector<Note> take_notes() { return std::exchange(notes_, {}); }

  // Takes the subtree away (a whole subtree for a directory); repoints inodes that live on
  // elsewhere.
  void displace(NodeId id);
  // For settle: the inode of this layer that stands for one of the lower layers; `name` is a path
  // that it will have.
  InodeId copy_of(const MergedNode& source, NodeId name);

 private:
  enum class Purpose : uint8_t { kParent, kLinkTarget };
  struct Place {
    NodeId node;  // kNoNode: this layer has nothing there
    std::string_view name;
    bool merges;  // nothing on the way is or was, in this layer, something else than a directory
    // What the lower layers show there; empty: not looked up yet.
    std::optional<std::optional<MergedNode>> lower;
  };

  Status clean(const Entry& entry, std::string_view path,
               std::vector<std::string_view>* components);
  Result<bool> take_mark(const Entry& entry);
  void add_mark(std::string_view name);
  Result<const PlanStep*> plan(const Entry& entry);
  Status collect_marks(const Entry& entry);
  void name_directory();
  void clear_step();
  Status walk(const Entry& entry, const std::vector<std::string_view>& components, Purpose purpose);
  Result<bool> follow_lower(const Entry& entry, std::string_view name, Purpose purpose,
                            int* symlinks, std::vector<std::string_view>* pending);
  Status follow(const Entry& entry, std::string_view target, int* symlinks,
                std::vector<std::string_view>* pending);
  std::string walked_path() const;
  // Whether the lower layers are still to be seen at places_.
  bool walked_merges() const { return places_.empty() || places_.back().merges; }
  void guess(Guess::Kind kind, std::string_view path, size_t number = 0);
  void guess_walked(Guess::Kind kind);
  Result<NodeId> parent_of(const Entry& entry);
  NodeId make_walked(uint64_t entry_number);
  void make_directory(NodeId id, uint64_t entry_number);
  void place_new(NodeId id, InodeId inode, uint64_t entry_number);
  void set_metadata(Inode* inode, const Entry& entry);
  Result<const PlanStep*> add_directory(const Entry& entry, NodeId parent, std::string_view name);
  Result<const PlanStep*> add_hardlink(const Entry& entry, NodeId parent, std::string_view name);
  Result<const PlanStep*> add_other(const Entry& entry, NodeId parent, std::string_view name);
  std::optional<MergedNode> lower_child(std::string_view name);
  Result<NodeId> name_lower_target(const Entry& entry, std::string_view name);
  void add_name(InodeId inode, NodeId name);
  void release(NodeId id);
  bool on_disk(NodeId id) const;
  Error refuse(const Entry& entry, std::string detail, Code code = Code::ERR_INVALID_ENTRY) const;
  Error doubt(const Entry& entry, std::string detail, Code code = Code::ERR_INVALID_ENTRY);

  LayerTree* tree_;
  PlanOptions options_;
  std::optional<MergedNode> lower_root_;
  PlanStep step_;
  std::vector<Place> places_;  // the path that walk() found, without the root
  std::vector<std::string_view> components_;
  std::vector<Mark> marks_;
  Arena mark_texts_;
  std::vector<Guess> guesses_;
  size_t probe_bytes_ = 0;  // of guesses about paths that were only walked through
  std::vector<PendingLink> pending_links_;
  std::vector<NodeId> unsettled_links_;
  std::unordered_map<InodeId, std::vector<NodeId>> hardlinks_;
  std::unordered_map<InodeId, MergedNode> copy_sources_;
  std::map<std::pair<const TreeView*, InodeId>, InodeId> copies_;  // lower inode, ours
  std::optional<Error> doubt_;
  std::vector<Note> notes_;
  NodeId plink_directory_ = kNoNode;
  // The parent of the entry before, since entries come directory by directory. Forgotten whenever a
  // path is taken away or replaced: an ancestor may have become something else (CVE-2025-47290).
  std::string last_parent_;
  NodeId last_parent_node_ = kNoNode;
  bool parent_as_named_ = true;  // no symlink led the last entry's parent to another path
  // The names of the lower layers' symlinks that led there: what takes the place of one of them
  // displaces nothing of this layer, and forgets the parent all the same.
  std::vector<std::string_view> lower_symlinks_;
};

}  // namespace ociunpack
