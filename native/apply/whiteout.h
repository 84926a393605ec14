// Whiteouts and opaque directories, in the form that the layer's format asks for. They are always
// written explicitly, into the layer's own directory: never by letting a mount make them.
#pragma once

#include <string_view>

#include "apply/context.h"
#include "apply/dir_cache.h"
#include "base/result.h"

namespace ociunpack {

// Hides `name` of the lower layers. Nothing of that name may be there.
Status write_whiteout(const ApplyContext& context, const DirHandle& directory,
                      std::string_view name);

// Makes the directory hide what the lower layers have in it.
Status mark_opaque(const ApplyContext& context, const DirHandle& directory);

// Takes away what would make overlayfs treat a directory as opaque, in either namespace.
Status ensure_not_opaque(const DirHandle& directory);

}  // namespace ociunpack
