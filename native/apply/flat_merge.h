// Merges a settled layer from its staging directory into one root directory (format flat), by
// renames: whatever the root does not have moves as a whole subtree, so that the work is in
// proportion to what the layer has in common with the layers below, not to its size.
#pragma once

#include <string>

#include "apply/context.h"
#include "base/result.h"
#include "tree/tree.h"
#include "tree/view.h"

namespace ociunpack {

// `tree` is what `staging` holds (and what it hides); `root` holds exactly what `below` shows
// (null: nothing). Both are host paths on one file system, of directories that are ours alone. The
// staging directory is left with what was merged or replaced taken out of it.
Status merge_flat(const ApplyContext& context, const LayerTree& tree, const std::string& staging,
                  const TreeView* below, const std::string& root);

}  // namespace ociunpack
