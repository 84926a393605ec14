// The numbers of the index file's format (index.h), for its two halves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ociunpack::index_format {

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

struct Counts {
  uint32_t nodes = 0, inodes = 0, xattrs = 0;
  uint64_t strings = 0;
};

}  // namespace ociunpack::index_format
