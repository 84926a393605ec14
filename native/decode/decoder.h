// Decoder: one face for gzip, zstd and uncompressed blobs, told apart by their first bytes.
// A decoder is driven from one thread at a time and keeps no reference to its arguments. Streams of
// several units (gzip members, zstd frames) are decoded in order; pipeline/segment_queue.h uses
// several decoders to decode the units of one stream in parallel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"

namespace ociunpack {

struct DecodeStep {
  size_t consumed = 0;    // bytes of the input that are done with
  size_t produced = 0;    // bytes written to the output
  bool finished = false;  // the stream is complete and all of the input is consumed
};

class Decoder {
 public:
  virtual ~Decoder() = default;

  // Decodes from `in` to `out`; `last` says that no more input comes after `in`. Makes progress or
  // fails, unless it needs more input (consumed == in.size()) or `out` is full. With `last` set,
  // call it (with empty input in the end) until it says finished; `out` must not be empty.
  // Errors: ERR_TRUNCATED, ERR_INVALID_GZIP, ERR_INVALID_ZSTD, ERR_TRAILING_GARBAGE,
  // ERR_LIMIT_EXCEEDED (zstd window). An error is final: what follows is undefined.
  virtual Result<DecodeStep> decode(std::span<const uint8_t> in, bool last,
                                    std::span<uint8_t> out) = 0;

  // Who does the work: "isa-l", "zlib", "zstd" or "identity".
  virtual std::string_view name() const = 0;

  // Units that are complete, those of follow() included; always 0 for an uncompressed stream.
  virtual uint64_t units() const { return 0; }
  // Whether what was decoded ends with a complete unit: another decoder may go on from here.
  virtual bool at_boundary() const { return false; }
  // Says that `units` (at least 1) of the stream have been decoded elsewhere, before what this
  // decoder is given. May be said again, when their number is known.
  virtual void follow(uint64_t units) { (void)units; }
  // From now on decode() returns when a unit is complete, with input left.
  virtual void stop_at_boundary() {}
};

struct DecodeOptions {
  bool ignore_trailing_garbage = false;            // after the last gzip member or zstd frame
  bool force_zlib = false;                         // gzip by zlib even where ISA-L is there
  uint64_t max_zstd_window = UINT64_C(128) << 20;  // bytes; the zstd tool's own bound (--long=27)
};

enum class Compression : uint8_t { kEmpty, kIdentity, kGzip, kZstd };

// How many first bytes detect() wants to see.
inline constexpr size_t kDetectBytes = 6;

// Tells the compression from the first bytes of a blob: kDetectBytes of them, fewer only when the
// blob is shorter. A known magic that we do not decode (xz, bzip2, lz4) is ERR_UNKNOWN_COMPRESSION;
// all else is kIdentity, and the tar reader will judge it.
Result<Compression> detect(std::span<const uint8_t> head);

// Never null. kEmpty gives the identity decoder.
std::unique_ptr<Decoder> make_decoder(Compression compression, const DecodeOptions& options);

// Whether gzip is decoded by ISA-L: libisal.so.2 could be loaded (tried once; any thread).
bool isal_available();

// The version of the zstd library linked, e.g. "1.5.4".
std::string_view zstd_version();

}  // namespace ociunpack
