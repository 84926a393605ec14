// One xattr of a path on the host, for those who look at layers or make them for a demonstration.
// Symlinks are not followed.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace ociunpack {

// Nothing where there is no such xattr (or the file system has none of that kind).
Result<std::optional<std::string>> read_xattr(const std::string& path, const std::string& name);
Status write_xattr(const std::string& path, const std::string& name, const std::string& value);

}  // namespace ociunpack
