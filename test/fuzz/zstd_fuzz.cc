// Fuzzes the zstd decoder: whatever the stream, and however it is split, the same bytes or an
// error. The first byte of the input chooses the split and the options.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "fuzz_decoder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ociunpack;
  if (size < 1) return 0;
  const uint8_t choice = data[0];
  const std::span<const uint8_t> stream(data + 1, size - 1);
  // A small window: the fuzzer would soon find headers that ask for 128 MiB.
  const DecodeOptions options{.ignore_trailing_garbage = (choice & 0x40) != 0,
                              .max_zstd_window = 1 << 20};
  constexpr size_t kMaxOutput = 1 << 20;
  const auto run = [&](size_t in, size_t out) {
    return fuzz::decode(*make_decoder(Compression::kZstd, options), stream, in, out, kMaxOutput);
  };
  const fuzz::Outcome whole = run(SIZE_MAX, SIZE_MAX);
  const fuzz::Outcome split = run(fuzz::piece_of(choice), fuzz::piece_of(choice >> 2));
  if (whole.too_long || split.too_long) return 0;
  if (whole.ok != split.ok || (whole.ok && whole.output != split.output)) {
    std::fprintf(stderr, "the split changes the result\n  whole: %s\n  split: %s\n",
                 whole.error.c_str(), split.error.c_str());
    std::abort();
  }
  return 0;
}
