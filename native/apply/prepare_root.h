// The staging directory of a layer, before anything is written to it.
#pragma once

#include <string>

#include "apply/context.h"
#include "apply/dir_cache.h"
#include "base/result.h"

namespace ociunpack {

// Opens an empty directory (host path) and makes it plain: mode 0755, our owner, no setgid and no
// default ACL, which it may have inherited and would hand on to everything created in it.
// ERR_INVALID_ARGUMENT when it is not empty.
Result<DirRef> prepare_root(const ApplyContext& context, const std::string& directory);

// Finds out what the file system below `root` can hold, and changes nothing that stays.
Status probe_root(const DirHandle& root, ApplyContext* context);

}  // namespace ociunpack
