// An existing directory as a LayerTree, so that a layer can be settled on top of it.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "tree/tree.h"

namespace ociunpack {

// Reads names, types, metadata, link groups, symlink targets and xattrs (not contents) of all that
// lies in `directory` (a host path), without following symlinks or crossing into other mounts. Any
// thread; blocks.
Result<std::shared_ptr<LayerTree>> scan_tree(const std::string& directory);

}  // namespace ociunpack
