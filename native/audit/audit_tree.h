// Holds a directory against what a tree says is in it, and reports plain facts: what they mean is
// said elsewhere. Reads only; follows no symlink, enters no mount; what changes meanwhile is
// compared as it was found.
//
// Why it is fast: directories and batches of files are read by several threads, and each file is
// opened once, for its xattrs and its content.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "apply/format.h"
#include "apply/policies.h"
#include "audit/facts.h"
#include "base/result.h"
#include "tree/view.h"

namespace ociunpack {

struct AuditOptions {
  std::shared_ptr<const TreeView> tree;
  std::string directory;             // a path of the host
  Format format = Format::kOverlay;  // kFlat: the merged view of the tree and all below it
  bool content = true;
  unsigned threads = 1;  // 1 to 64
  size_t most_differences = 1000;
  Policies policies;  // of the unpack
};

// Shared with whoever watches.
struct AuditControl {
  std::atomic<bool> cancelled{false};
  std::atomic<uint64_t> entries{0};
  std::atomic<uint64_t> bytes{0};  // of content
};

// Blocks. ERR_ABORTED when cancelled; else only what keeps the directory itself from being opened.
Result<AuditResult> audit_tree(const AuditOptions& options, AuditControl* control);

}  // namespace ociunpack
