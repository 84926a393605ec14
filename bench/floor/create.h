// The bare system calls of a layer, on one thread: what no unpacker can do without.
#pragma once

#include <string>

#include "base/result.h"
#include "floor/plan.h"

namespace ociunpack::bench {

struct Created {
  uint64_t items = 0;
  uint64_t failed = 0;        // what could not be made, e.g. a link into a layer below
  std::string first_failure;  // `call(path): errno`
};

// Creates everything below `root`, an existing empty directory. Call with umask 0.
Result<Created> create_layer(const Plan& plan, const std::string& root);

}  // namespace ociunpack::bench
