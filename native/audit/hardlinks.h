// Hardlinks: whether the names that are to share an inode do, and no others.
#pragma once

#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "audit/expected_tree.h"

namespace ociunpack {

class Hardlinks {
 public:
  // `lenient`: files that a layer has copied from a lower one may share an inode with names that
  // they had there (format flat links them instead).
  explicit Hardlinks(bool lenient) : lenient_(lenient) {}

  // Any thread: a name that is there, is no directory, and has or is to have others.
  void add(const ExpectedNode& node, uint64_t inode);

  struct Broken {
    ExpectedNode node;
    std::vector<std::string> expected;  // the other names of its inode, a few of them
    std::vector<std::string> found;
  };
  // Names that belong to another inode than theirs. Of those that disagree the most are right, and
  // among as many those that are not in `differing`, the paths that differ otherwise.
  std::vector<Broken> find_broken(const std::unordered_set<std::string>& differing);

 private:
  struct Name {
    const LayerTree* tree;
    NodeId node;
    uint64_t inode;
    InodeId expected() const { return tree->node(node).inode; }
    bool copied_up() const { return tree->inode_of(node).copied_up; }
  };

  const bool lenient_;
  std::mutex mutex_;
  std::vector<Name> names_;
};

}  // namespace ociunpack
