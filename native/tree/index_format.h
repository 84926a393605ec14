// The numbers of the index file's format (index.h) and its checksum, for its two halves.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ociunpack::index_format {

// Its numbers are copied as they are.
static_assert(std::endian::native == std::endian::little);

inline constexpr std::string_view kMagic = "OCIUTREE";
inline constexpr size_t kHeaderBytes = 8 + 4 * 4 + 8;
inline constexpr size_t kInodeBytes = 4 + 4 * 4 + 8 + 4 + 8 + 12 + 8 + 4;
inline constexpr size_t kXattrBytes = 24;
inline constexpr size_t kNodeBytes = 4 + 4 + 1 + 12;
inline constexpr size_t kTrailerBytes = 4;
inline constexpr uint8_t kImplicitFlag = 1;
inline constexpr uint8_t kOpaqueFlag = 2;
inline constexpr uint8_t kCopiedUpFlag = 1;
inline constexpr uint8_t kChecksumFlag = 2;
inline constexpr uint32_t kFirstVersionWithChecksums = 2;

inline constexpr size_t inode_bytes(uint32_t version) {
  return version >= kFirstVersionWithChecksums ? kInodeBytes : kInodeBytes - sizeof(uint32_t);
}

// The CRC-32 of what `crc` is that of (0: of nothing), followed by `bytes`.
inline uint32_t checksum(uint32_t crc, std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t piece = std::min<size_t>(bytes.size(), 1 << 30);  // zlib's counter has 32 bits
    crc = static_cast<uint32_t>(
        ::crc32(crc, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(piece)));
    bytes.remove_prefix(piece);
  }
  return crc;
}

struct Counts {
  uint32_t nodes = 0, inodes = 0, xattrs = 0;
  uint64_t strings = 0;
};

}  // namespace ociunpack::index_format
