// Opens a file to be copied, also one that its mode closes to its own owner. Images have such files
// (/etc/shadow of Fedora and of all that comes from it is 0000), root does not notice them, and who
// unpacks without root owns them.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ociunpack {

// The regular file `name` of an open directory, O_RDONLY; a symlink is not followed. A file that is
// ours and closed to us has its mode opened to its owner for that moment, and given back before
// this returns. `path`: for the errors. Any thread.
Result<UniqueFd> open_to_read(int directory, const char* name, const std::string& path);

}  // namespace ociunpack
