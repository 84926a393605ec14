// Sets a mode and makes sure of its set-gid bit, which chmod(2) drops without an error where the
// group is not one of the process's and CAP_FSETID is missing.
#pragma once

#include <string>

#include "base/result.h"

namespace ociunpack {

// All 12 bits of what is open. ERR_PERMISSION where the set-gid bit is not kept.
Status set_mode(int fd, mode_t mode, const std::string& path);

// The same of a name in an open directory. fchmodat(2) follows symlinks: only for what we have just
// made ourselves, which is none.
Status set_mode_at(int directory, const char* name, mode_t mode, const std::string& path);

}  // namespace ociunpack
