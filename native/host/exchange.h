// Two directories in each other's place.
#pragma once

#include <string>

#include "base/result.h"

namespace ociunpack {

// Exchanges what the host paths `a` and `b` name, on one file system, in one step: whoever looks
// sees one or the other, after a power loss too (renameat2(2), RENAME_EXCHANGE). ERR_UNSUPPORTED
// where the file system cannot.
Status exchange_paths(const std::string& a, const std::string& b);

}  // namespace ociunpack
