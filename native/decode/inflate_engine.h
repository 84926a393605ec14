// InflateEngine: raw deflate (RFC 1951), without any framing, by one of two libraries. GzipDecoder
// does the gzip framing for both, so that both accept and refuse the same streams.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace ociunpack {

class InflateEngine {
 public:
  // Bytes that an engine may have taken from the input beyond the end of the deflate stream.
  static constexpr size_t kMaxLeftover = 8;

  struct Step {
    size_t consumed = 0;
    size_t produced = 0;
    bool ended = false;          // the final block is complete and all its output was given out
    uint8_t leftover_count = 0;  // with `ended`: consumed bytes that belong to what follows
    uint8_t leftover[kMaxLeftover] = {};
    const char* error = nullptr;  // static text; the data is not deflate
  };

  virtual ~InflateEngine() = default;

  // Begins a new stream.
  virtual void reset() = 0;

  // Decodes until the input is used up, the output is full, or the stream ends. Consuming and
  // producing nothing means that more input (or output) is needed.
  virtual Step inflate(std::span<const uint8_t> in, std::span<uint8_t> out) = 0;

  // The CRC-32 of gzip, continued from `crc` (0 at first).
  virtual uint32_t crc(uint32_t crc, std::span<const uint8_t> bytes) const = 0;

  virtual std::string_view name() const = 0;
};

// Null when libisal.so.2 is not there, was not known when this was built, or fails its self-test.
std::unique_ptr<InflateEngine> make_isal_engine();

// Null only when memory is short.
std::unique_ptr<InflateEngine> make_zlib_engine();

// One call to a library gets at most this much: their counters are 32 bits wide.
inline constexpr size_t kMaxEngineBytes = size_t{1} << 30;

}  // namespace ociunpack
