// Owner, xattrs and times of one path, under the policies; what all kinds of entries share.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>

#include "apply/attributes.h"
#include "apply/context.h"
#include "apply/dir_cache.h"
#include "base/result.h"

namespace ociunpack {

// A path for metadata calls: an open descriptor, or a name in an open directory (for what cannot be
// opened without side effects: symlinks, devices, fifos).
struct Subject {
  const DirHandle& directory;  // holds the name; for a descriptor only used for messages
  std::string_view name;       // empty: the directory itself
  int fd = -1;

  std::string path() const { return name.empty() ? directory.path : path_in(directory, name); }
};

// Whether the owner must be set: it differs from `uid`:`gid`, what the path has now (whatever the
// policy makes of it).
bool owner_differs(const ApplyContext& context, const Attributes& attributes, uint32_t uid,
                   uint32_t gid);

struct Owner {
  uint32_t uid = 0;
  uint32_t gid = 0;
};
// The owner that the policy `ownership` gives; nothing where that leaves everything as it is.
// ERR_OWNERSHIP where no id map has it.
Result<std::optional<Owner>> stored_owner(const Policies& policies, const Attributes& attributes,
                                          const std::string& path);

// Sets the owner as the policy `ownership` says.
Status set_owner(const ApplyContext& context, const Subject& subject, const Attributes& attributes);

// Sets all xattrs that the policies let through. After the owner: chown(2) clears
// security.capability.
Status set_xattrs(const ApplyContext& context, const Subject& subject,
                  std::span<const Xattr> xattrs);

// Refuses and notes what set_owner() and set_xattrs() would, as far as no file system is needed to
// know it.
Status check_attributes(const ApplyContext& context, const std::string& path,
                        const Attributes& attributes);

// Sets atime and mtime to `mtime`, clamped and rounded (and noted) to what the file system can
// store.
Status set_times(const ApplyContext& context, const Subject& subject, Timestamp mtime);

// What the policies make of a layer's xattr.
struct StoredXattr {
  enum class Fate : uint8_t { kKept, kEscaped, kDropped, kRefused };
  Fate fate = Fate::kKept;
  std::string name;  // as it is stored; empty where it is not
};
StoredXattr stored_xattr(const Policies& policies, std::string_view name);

// The name under which a layer's xattr is stored, or empty when it is not stored at all (noted).
// ERR_OVERLAY_XATTR by policy.
Result<std::string> stored_xattr_name(const ApplyContext& context, std::string_view name,
                                      const std::string& path);

}  // namespace ociunpack
