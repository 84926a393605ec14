// Fuzzes the gzip decoder: both engines must accept the same streams and give the same bytes,
// however the input is split. The first byte of the input chooses what the rest is: gzip, or raw
// deflate that is framed here, so that the fuzzer need not guess a CRC-32. Where ISA-L is known to
// be more lenient than zlib (see agree()), only the bytes are compared.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "decode/decoder.h"
#include "decode/inflate_engine.h"
#include "fuzz_decoder.h"

namespace ociunpack {
namespace {

using fuzz::Outcome;

constexpr size_t kMaxOutput = 1 << 20;

[[noreturn]] void report(const char* what, const Outcome& isal, const Outcome& zlib) {
  std::fprintf(stderr, "%s\n  isa-l: %zu bytes, %s\n  zlib:  %zu bytes, %s\n", what,
               isal.output.size(), isal.error.c_str(), zlib.output.size(), zlib.error.c_str());
  std::abort();
}

// ISA-L takes sets of Huffman codes that are not complete, which zlib refuses before it decodes
// anything. No compressor writes them, and the CRC-32 guards what comes out.
bool incomplete_codes(const Outcome& zlib) { return zlib.error.ends_with(" set"); }

void agree(const Outcome& isal, const Outcome& zlib) {
  if (isal.too_long || zlib.too_long) return;
  if (zlib.ok && !isal.ok) report("ISA-L refuses what zlib accepts", isal, zlib);
  if (isal.ok && !zlib.ok && !incomplete_codes(zlib)) {
    report("zlib refuses what ISA-L accepts", isal, zlib);
  }
  if (isal.ok && zlib.ok && isal.output != zlib.output) report("the outputs differ", isal, zlib);
}

void fuzz_gzip(std::span<const uint8_t> stream, uint8_t choice) {
  DecodeOptions options{.ignore_trailing_garbage = (choice & 0x40) != 0};
  const size_t in_piece = fuzz::piece_of(choice);
  const size_t out_piece = fuzz::piece_of(choice >> 2);
  const auto run = [&](bool force_zlib, size_t in, size_t out) {
    options.force_zlib = force_zlib;
    const auto decoder = make_decoder(Compression::kGzip, options);
    return fuzz::decode(*decoder, stream, in, out, kMaxOutput);
  };
  const Outcome isal = run(false, in_piece, out_piece);
  const Outcome zlib = run(true, in_piece, out_piece);
  agree(isal, zlib);
  const Outcome whole = run(false, SIZE_MAX, 64 << 10);
  if (!whole.too_long && !isal.too_long && whole.ok != isal.ok) {
    report("the split changes what ISA-L says", whole, isal);
  }
  const Outcome whole_zlib = run(true, SIZE_MAX, 64 << 10);
  if (!whole_zlib.too_long && !zlib.too_long && whole_zlib.ok != zlib.ok) {
    report("the split changes what zlib says", whole_zlib, zlib);
  }
}

// Deflate as zlib sees it, with the trailer that the data deserves.
std::string frame(std::span<const uint8_t> deflate) {
  const auto engine = make_zlib_engine();
  std::string data;
  std::string out(64 << 10, '\0');
  std::span<const uint8_t> rest = deflate;
  uint32_t crc = 0;
  while (data.size() < kMaxOutput) {
    const std::span<uint8_t> space(reinterpret_cast<uint8_t*>(out.data()), out.size());
    const InflateEngine::Step step = engine->inflate(rest, space);
    crc = engine->crc(crc, space.first(step.produced));
    data.append(out.data(), step.produced);
    rest = rest.subspan(step.consumed);
    if (step.error || step.ended || (step.consumed == 0 && step.produced == 0)) break;
  }
  std::string stream("\x1f\x8b\x08\0\0\0\0\0\0\3", 10);
  stream.append(reinterpret_cast<const char*>(deflate.data()), deflate.size() - rest.size());
  for (int i = 0; i < 4; i++) stream += static_cast<char>(crc >> (8 * i));
  for (int i = 0; i < 4; i++) stream += static_cast<char>(data.size() >> (8 * i));
  return stream;
}

}  // namespace
}  // namespace ociunpack

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ociunpack;
  if (size < 1) return 0;
  const std::span<const uint8_t> rest(data + 1, size - 1);
  if (data[0] & 0x80) {
    const std::string stream = frame(rest);
    fuzz_gzip({reinterpret_cast<const uint8_t*>(stream.data()), stream.size()}, data[0]);
  } else {
    fuzz_gzip(rest, data[0]);
  }
  return 0;
}
