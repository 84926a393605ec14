// Probes: facts about the kernel and a file system, found by trying. They say what is; what it
// means for an unpack is said by who asks.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace ociunpack {

struct Probe {
  std::string id;
  std::string status;  // "ok", "warn", "fail" or "unknown"
  std::string value;
  std::string evidence;  // what was tried, and what came of it
};

// Tries things in a new directory below `directory`, which is removed again. Blocks; makes mounts
// (which it takes away) where the process may.
Result<std::vector<Probe>> probe_host(const std::string& directory);

}  // namespace ociunpack
