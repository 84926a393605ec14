#include "base/unique_fd.h"

#include <cerrno>

namespace ociunpack {

int UniqueFd::errno_of_close() { return errno; }

}  // namespace ociunpack
