// Removal of whole trees, entry by entry through open directories: no symlink is followed, no other
// mount entered, any depth is reached with a bounded number of descriptors.
#pragma once

#include <string_view>

#include "apply/dir_cache.h"
#include "base/result.h"

namespace ociunpack {

// Removes `name` and all below it. No error when it is not there.
Status remove_tree(const DirHandle& parent, std::string_view name);

// Removes everything in the directory.
Status remove_children(const DirHandle& directory);

}  // namespace ociunpack
