// Copying a file of a lower layer into this one, for a hardlink whose target lies below.
#pragma once

#include <string>
#include <string_view>

#include "apply/attributes.h"
#include "apply/context.h"
#include "apply/dir_cache.h"
#include "base/result.h"

namespace ociunpack {

// Copies `lower_path` below the directory `lower_root_fd` (no symlink is followed) to a new `name`
// in `to`: content by reflink where the file system can, else with its holes; type and content from
// the lower file, metadata from `attributes`. `checksum`: as FileWriter's; only of a file.
Status copy_up(const ApplyContext& context, int lower_root_fd, const std::string& lower_path,
               const DirHandle& to, std::string_view name, const Attributes& attributes,
               uint32_t* checksum = nullptr);

}  // namespace ociunpack
