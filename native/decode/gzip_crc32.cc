#include "decode/gzip_crc32.h"

#include "decode/inflate_engine.h"

namespace ociunpack {
namespace {

// To load the library takes as long as zlib takes for some 512 KiB.
constexpr size_t kWorthLoading = 64 << 10;

}  // namespace

uint32_t gzip_crc32(uint32_t crc, std::span<const uint8_t> bytes) {
  if (bytes.size() >= kWorthLoading) {
    if (const Crc32Function isal = isal_crc32()) return isal(crc, bytes.data(), bytes.size());
  }
  return zlib_crc32(crc, bytes);
}

}  // namespace ociunpack
