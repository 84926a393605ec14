// Comparer: an entry of a tree against what is on disk. It knows what the format, the policies of
// the unpack, the kernel and the file system make of what a layer says.
#pragma once

#include <string>
#include <vector>

#include "apply/format.h"
#include "apply/policies.h"
#include "audit/disk_entry.h"
#include "audit/expected_tree.h"
#include "audit/facts.h"

namespace ociunpack {

class Comparer {
 public:
  Comparer(const ExpectedTree& tree, Format format, Policies policies);

  // What is to be on disk.
  EntryFacts expected(const ExpectedNode& node) const;

  FactType type(const ExpectedNode& node) const;

  // Whether the policies allow that it is not there.
  bool may_be_missing(const ExpectedNode& node) const;

  // Of two of one type: the fields that are not as they are to be; content and links are not
  // compared. `xattr_whiteouts`: some whiteout in the directory is an empty file with an xattr.
  std::vector<std::string> compare(const ExpectedNode& node, const DiskEntry& found,
                                   bool xattr_whiteouts = false) const;

  // The xattrs by which this format's overlayfs is told something.
  const Namespace& overlay() const { return overlay_; }

 private:
  FactXattrs stored_xattrs(const Inode& inode) const;
  void compare_xattrs(const ExpectedNode& node, const EntryFacts& found, bool xattr_whiteouts,
                      std::vector<std::string>* fields) const;
  bool may_lack_xattr(const ExpectedNode& node, const std::string& name,
                      const std::string& value) const;

  const ExpectedTree& tree_;
  Format format_;
  Policies policies_;
  Namespace overlay_;
};

}  // namespace ociunpack
