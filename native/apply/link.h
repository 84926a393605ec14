// Hardlinks: linkat(2) without following a symlink at the end, so that a link to a symlink links
// the symlink itself. Metadata is never changed through a link.
#pragma once

#include <string>
#include <string_view>

#include "apply/context.h"
#include "apply/dir_cache.h"
#include "base/result.h"

namespace ociunpack {

Status make_link(const ApplyContext& context, const DirHandle& from, std::string_view from_name,
                 const DirHandle& to, std::string_view to_name);

// Links `path` below the directory `root_fd`; no component of it may be a symlink but the last.
Status link_lower(const ApplyContext& context, int root_fd, const std::string& path,
                  const DirHandle& to, std::string_view name);

}  // namespace ociunpack
