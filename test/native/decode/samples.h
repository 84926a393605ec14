// Makes compressed streams for the decoder tests, and drives decoders over any split of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "decode/decoder.h"

namespace ociunpack::samples {

// `size` bytes that compress about as well as a layer does; the same for the same seed.
std::string text(size_t size, uint32_t seed = 1);
// Bytes that do not compress.
std::string noise(size_t size, uint32_t seed = 1);

std::string raw_deflate(std::string_view data, int level = 6, int strategy = 0);

struct GzipParts {
  std::optional<std::string> extra = std::nullopt;
  std::optional<std::string> name = std::nullopt;
  std::optional<std::string> comment = std::nullopt;
  bool header_crc = false;
  int level = 6;
  int strategy = 0;
};
std::string gzip_header(const GzipParts& parts);
std::string gzip_trailer(std::string_view data);
std::string gzip(std::string_view data, const GzipParts& parts = {});

std::string zstd(std::string_view data, int level = 3, bool checksum = true, int window_log = 0);
std::string skippable(std::string_view data, uint8_t magic = 0x50);

struct Splits {
  size_t in = SIZE_MAX;
  size_t out = 64 << 10;
};

// Decodes all of `stream`, given and taken in pieces.
Result<std::string> decode_all(Decoder& decoder, std::string_view stream, Splits splits = {});

inline std::span<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace ociunpack::samples
