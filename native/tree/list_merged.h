// Lists what the merged view shows at and below a path.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tree/view.h"

namespace ociunpack {

struct MergedList {
  std::vector<std::string> paths;  // sorted by directory: a directory, then what is in it
  uint64_t total = 0;
};

// Every path at and below `path` (no symlink is followed; "" is the root), at most `most` of them;
// `total` counts all. `view` may be null: it shows nothing.
MergedList list_merged(const TreeView* view, std::string_view path, size_t most);

}  // namespace ociunpack
