#include "pipeline/settle_stage.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "apply/copy_up.h"
#include "apply/directory.h"
#include "apply/link.h"
#include "apply/remove.h"
#include "apply/whiteout.h"

namespace ociunpack {
namespace {

class SettleStage {
 public:
  SettleStage(LayerPass& pass, const SettlePlan& plan, int flat_root)
      : pass_(pass), tree_(*pass.tree()), plan_(plan), flat_root_(flat_root) {}

  Status run() {
    // Directories before what lies in them; copies before links to them; everything that changes a
    // directory's list of names before its times are set.
    OCIUNPACK_TRY(remove_plinks());
    OCIUNPACK_TRY(make_directories());
    OCIUNPACK_TRY(copy_lower_files());
    OCIUNPACK_TRY(make_links());
    OCIUNPACK_TRY(write_whiteouts());
    OCIUNPACK_TRY(mark_opaques());
    return finish_directories();
  }

 private:
  Result<DirRef> parent(NodeId id) {
    const NodeId above = tree_.node(id).parent;
    touched_.push_back(above);
    OCIUNPACK_ASSIGN(DirRef directory, pass_.directory(above));
    const Attributes attributes = attributes_of(tree_.inode_of(above));
    if (pass_.directories_finished() && hands_down(attributes) && paused_.insert(above).second) {
      OCIUNPACK_TRY(pause_inheritance(*directory, attributes));
    }
    return directory;
  }

  Status remove_plinks() {
    if (plan_.plink_directory == kNoNode) return {};
    OCIUNPACK_ASSIGN(const DirRef directory, parent(plan_.plink_directory));
    OCIUNPACK_TRY(remove_tree(*directory, tree_.node(plan_.plink_directory).name));
    pass_.lose_usage();
    pass_.directories().erase(plan_.plink_directory);
    return {};
  }

  Status make_directories() {
    for (const NodeId id : plan_.made_directories) {
      OCIUNPACK_ASSIGN(const DirRef directory, parent(id));
      OCIUNPACK_ASSIGN(DirRef made,
                       make_directory(pass_.context(), *directory, tree_.node(id).name));
      pass_.directories().put(id, std::move(made));
    }
    return {};
  }

  Status copy_lower_files() {
    for (const SettlePlan::CopyUp& copy : plan_.copy_ups) {
      OCIUNPACK_ASSIGN(const DirRef directory, parent(copy.node));
      const TreeView* lower = copy.source.view;
      const std::string path = lower->tree().path(copy.source.node);
      if (flat_root_ >= 0) {
        OCIUNPACK_TRY(
            link_lower(pass_.context(), flat_root_, path, *directory, tree_.node(copy.node).name));
      } else {
        Inode& inode = tree_.inode_of(copy.node);
        uint32_t* unknown = nullptr;
        if (inode.type == NodeType::kFile && inode.checksum == nullptr) {
          unknown = inode.checksum = tree_.new_checksum();
        }
        OCIUNPACK_ASSIGN(const UniqueFd from, lower->open_directory());
        OCIUNPACK_TRY(copy_up(pass_.context(), from.get(), path, *directory,
                              tree_.node(copy.node).name, attributes_of(inode), unknown));
      }
    }
    return {};
  }

  Status make_links() {
    for (const SettlePlan::Link& link : plan_.links) {
      OCIUNPACK_ASSIGN(const DirRef from, pass_.directory(tree_.node(link.source).parent));
      OCIUNPACK_ASSIGN(const DirRef to, parent(link.node));
      OCIUNPACK_TRY(make_link(pass_.context(), *from, tree_.node(link.source).name, *to,
                              tree_.node(link.node).name));
    }
    return {};
  }

  Status write_whiteouts() {
    if (flat_root_ >= 0 || pass_.context().format == Format::kFlat) return {};
    for (const NodeId id : plan_.whiteouts) {
      OCIUNPACK_ASSIGN(const DirRef directory, parent(id));
      OCIUNPACK_TRY(write_whiteout(pass_.context(), *directory, tree_.node(id).name));
    }
    return {};
  }

  Status mark_opaques() {
    if (pass_.context().format == Format::kFlat) return {};
    for (const NodeId id : plan_.opaque_directories) {
      OCIUNPACK_ASSIGN(const DirRef own, pass_.directory(id));
      OCIUNPACK_TRY(mark_opaque(pass_.context(), *own));
      touched_.push_back(id);  // aufs marks by a file
    }
    return {};
  }

  Status finish_directories() {
    std::vector<NodeId> unfinished =
        pass_.directories_finished() ? plan_.implicit_directories : tree_.directories();
    const auto sort_unique = [](std::vector<NodeId>* ids) {
      // A child has a higher number than its parent: deepest first, so that a directory which its
      // new mode closes to us is closed only when everything below it is done.
      std::sort(ids->begin(), ids->end(), std::greater<>());
      ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
    };
    sort_unique(&unfinished);
    sort_unique(&touched_);
    for (const NodeId id : unfinished) OCIUNPACK_TRY(pass_.finish_directory_now(id));
    for (const NodeId id : touched_) {
      if (!tree_.is_directory(id)) continue;
      if (std::binary_search(unfinished.begin(), unfinished.end(), id, std::greater<>())) continue;
      OCIUNPACK_ASSIGN(const DirRef own, pass_.directory(id));
      const Attributes attributes = attributes_of(tree_.inode_of(id));
      if (paused_.contains(id)) {
        OCIUNPACK_TRY(resume_inheritance(pass_.context(), *own, attributes));
      } else {
        OCIUNPACK_TRY(restore_times(pass_.context(), *own, attributes.mtime));
      }
      OCIUNPACK_TRY(pass_.note_directory(id, *own));
    }
    return {};
  }

  LayerPass& pass_;
  LayerTree& tree_;
  const SettlePlan& plan_;
  const int flat_root_;
  std::vector<NodeId> touched_;        // directories whose list of names was changed
  std::unordered_set<NodeId> paused_;  // those that would hand down a group or an ACL
};

}  // namespace

Status carry_out_settle(LayerPass& pass, const SettlePlan& plan, int flat_root) {
  return SettleStage(pass, plan, flat_root).run();
}

}  // namespace ociunpack
