// Directories that shut their own owner out (0555, 0000), where no capability passes that by:
// rootless. Layers have them, and what lies in them must be moved and removed all the same.
#pragma once

#include <string_view>

#include "base/unique_fd.h"

namespace ociunpack {

// Whether the directory's mode forbids us to list, change or pass through it.
bool directory_is_locked(int fd);

// Gives the owner of the directory all rights to it; false, and errno, where that fails or it is
// not locked (then EACCES: what was refused, was for another reason).
bool unlock_directory(int fd);

// Opens a directory, no symlink, and unlocks it where its mode forbids that; not valid, and errno,
// on failure.
UniqueFd open_locked_directory(int parent, std::string_view name);

}  // namespace ociunpack
