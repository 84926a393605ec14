// Each piece of the work alone and several times, on one layer: to find which one has become
// slower.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "floor/floor.h"

namespace ociunpack::bench {

struct Micro {
  std::string name;
  std::string unit;             // what `amount` counts: "bytes" or "entries"
  uint64_t amount = 0;          // done in each run
  std::vector<double> seconds;  // of each run, by the clock
};

// `directory` must exist; what is created there is left to the caller to remove.
Result<std::vector<Micro>> measure_micro(const std::string& directory, const BlobWindow& layer,
                                         unsigned runs);

}  // namespace ociunpack::bench
