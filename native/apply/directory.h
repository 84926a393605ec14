// Directories: made empty and plain while the layer is decoded, given their metadata at last, when
// nothing is created in them any more (that would change their mtime).
#pragma once

#include <string_view>

#include "apply/attributes.h"
#include "apply/context.h"
#include "apply/dir_cache.h"
#include "base/result.h"

namespace ociunpack {

// Made with 0755: open to us whatever its final mode, and that is the final mode of most.
inline constexpr uint32_t kCreatedDirectoryMode = 0755;

// Makes and opens a directory; checks that the kernel has not made it opaque.
Result<DirRef> make_directory(const ApplyContext& context, const DirHandle& parent,
                              std::string_view name);

// The metadata of a directory that make_directory() made.
Status finish_directory(const ApplyContext& context, const DirHandle& own,
                        const Attributes& attributes);

// The metadata of a directory that had other metadata before: xattrs which the new ones do not name
// are removed (security.selinux stays: it is the host's).
Status replace_metadata(const ApplyContext& context, const DirHandle& own,
                        const Attributes& attributes);

// Only the times, after names in it have changed.
Status restore_times(const ApplyContext& context, const DirHandle& own, Timestamp mtime);

// What is made in a finished directory must not inherit from it: takes its setgid bit and its
// default ACL away, where it has them, until resume_inheritance().
bool hands_down(const Attributes& attributes);
Status pause_inheritance(const DirHandle& own, const Attributes& attributes);
Status resume_inheritance(const ApplyContext& context, const DirHandle& own,
                          const Attributes& attributes);

}  // namespace ociunpack
