// UnitScanner: finds where the units (gzip members, zstd frames) of a compressed stream begin,
// without decoding it, so that they can be decoded in parallel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "decode/decoder.h"

namespace ociunpack {

class UnitScanner {
 public:
  virtual ~UnitScanner() = default;

  // Takes the next piece of the stream; adds to `cuts` the offsets in `piece`, in rising order, at
  // which a unit seems to begin or the one before to end. They are guesses: who decodes must find
  // the same boundary.
  virtual void scan(std::span<const uint8_t> piece, std::vector<size_t>* cuts) = 0;
};

// For a stream from the beginning of a unit on. Null for what has no units.
std::unique_ptr<UnitScanner> make_unit_scanner(Compression compression);

}  // namespace ociunpack
