// What may follow the last gzip member or zstd frame: zero padding always, other garbage if the
// caller says so (SEMANTICS.md, "The stream").
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace ociunpack {

class Trailing {
 public:
  explicit Trailing(bool ignore_garbage) : ignore_garbage_(ignore_garbage) {}

  // Judges bytes after the end; ERR_TRAILING_GARBAGE unless they are padding or garbage is ignored.
  Status check(std::span<const uint8_t> bytes, const char* operation) const {
    if (ignore_garbage_ || std::all_of(bytes.begin(), bytes.end(), is_zero)) return {};
    return input_error(Code::ERR_TRAILING_GARBAGE, operation, {},
                       "there is garbage after the end of the compressed stream");
  }
  bool ignore_garbage() const { return ignore_garbage_; }

 private:
  static bool is_zero(uint8_t byte) { return byte == 0; }
  bool ignore_garbage_;
};

}  // namespace ociunpack
