// Drives a Decoder for the fuzz targets, and aborts when it breaks its contract (decoder.h).
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

#include "decode/decoder.h"

namespace ociunpack::fuzz {

struct Outcome {
  bool ok = false;
  bool too_long = false;  // stopped: more output than a fuzz run should look at
  std::string output;
  std::string error;
};

// One of four sizes of pieces.
inline size_t piece_of(uint8_t choice) {
  static constexpr size_t kPieces[] = {SIZE_MAX, 1, 13, 300};
  return kPieces[choice & 3];
}

inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "contract broken: %s\n", what);
  std::abort();
}

inline Outcome decode(Decoder& decoder, std::span<const uint8_t> stream, size_t in_piece,
                      size_t out_piece, size_t max_output) {
  Outcome outcome;
  out_piece = std::min(out_piece, size_t{64} << 10);
  // Exactly as large as said, so that AddressSanitizer sees a byte too many.
  const auto out = std::make_unique<uint8_t[]>(out_piece);
  size_t position = 0;
  // Tiny steps are slow: look at less of the output then.
  max_output = std::min(max_output, out_piece * 4096);
  while (true) {
    const size_t piece = std::min(in_piece, stream.size() - position);
    const auto in = std::make_unique<uint8_t[]>(piece);
    std::copy_n(stream.data() + position, piece, in.get());
    const bool last = position + piece == stream.size();
    auto result = decoder.decode({in.get(), piece}, last, {out.get(), out_piece});
    if (!result.ok()) {
      outcome.error = result.error().message();
      return outcome;
    }
    const DecodeStep step = result.value();
    require(step.consumed <= piece && step.produced <= out_piece, "counts in range");
    require(step.consumed == piece || step.produced == out_piece, "stops only for a reason");
    outcome.output.append(reinterpret_cast<const char*>(out.get()), step.produced);
    position += step.consumed;
    if (step.finished) {
      require(last && step.consumed == piece, "finished only at the end");
      outcome.ok = true;
      return outcome;
    }
    require(!(last && step.consumed == piece && step.produced < out_piece), "finished at the end");
    if (outcome.output.size() > max_output) {
      outcome.too_long = true;
      return outcome;
    }
  }
}

}  // namespace ociunpack::fuzz
