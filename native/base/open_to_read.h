// Opens a file for reading, also one that its mode closes to its own owner. Images have such files
// (/etc/shadow of Fedora and of all that comes from it is 0000); root does not notice them, and who
// unpacks without root owns them. Nothing is changed for it, as chmod(2) there and back would.
#pragma once

#include "base/unique_fd.h"

namespace ociunpack {

// The regular file `name` in an open directory, with open(2)'s `flags` (O_CLOEXEC and O_NOFOLLOW
// are added); -1 and errno where it cannot be opened. Any thread. What is ours and closed to us is
// opened in a user namespace made for it, whose root we are; errno is EACCES where the host allows
// us none.
UniqueFd open_to_read(int directory, const char* name, int flags);

}  // namespace ociunpack
