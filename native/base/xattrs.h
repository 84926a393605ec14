// All xattrs of one file of the host: by name in an open directory, or of what is open itself.
// Never follows a symlink, opens nothing.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ociunpack {

// There is no getxattrat(2) or setxattrat(2) before Linux 6.13: the magic link leads to the open
// directory itself, and the last component is not followed.
std::string magic_path(int directory, std::string_view name);

// Calls `take` for each of `name` in the directory `fd`, or of `fd` itself (not O_PATH) where
// `name` is empty, until it returns an error; of those only that `wanted` says yes to are values
// read. None where the file system has no xattrs. `path`: for the errors.
Status for_each_xattr(int fd, std::string_view name, const std::string& path,
                      bool (*wanted)(std::string_view xattr),
                      const std::function<Status(const char* xattr, std::string_view value)>& take);

}  // namespace ociunpack
