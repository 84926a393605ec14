// The index file of a settled layer tree: kept with the layer, so that layers unpacked earlier
// serve as lower layers without being read. Little-endian, fixed-size records, CRC-32 at the end;
// names are checked on loading as strictly as when they came from a tar. Version 1 had no
// checksums.
//
//   header   "OCIUTREE" u32 version u32 nodes u32 inodes u32 xattrs u64 string bytes
//   inode    u8 type u8 flags u16 mode u32 uid u32 gid u32 major u32 minor i64 mtime u32
//   nanoseconds
//            u64 size, (u64 offset u32 length) target, u32 first xattr u32 xattr count, u32 CRC-32C
//   xattr    (u64 offset u32 length) name, (u64 offset u32 length) value
//   node     u32 parent u32 inode u8 flags, (u64 offset u32 length) name; a parent before its
//   children strings  ... u32 CRC-32 of all before it
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "tree/tree.h"

namespace ociunpack {

inline constexpr uint32_t kIndexVersion = 2;
inline constexpr uint32_t kOldestIndexVersion = 1;

// The bytes of the index file of `tree` (its present nodes).
std::string encode_index(const LayerTree& tree);

// The tree of an index file's bytes. ERR_INVALID_INDEX, with the reason, for any other bytes.
Result<std::shared_ptr<LayerTree>> decode_index(std::string_view bytes, const std::string& path);

// Writes the index to a new file `path` (host path). No fsync: who commits the layer decides.
Status save_index(const LayerTree& tree, const std::string& path);
Result<std::shared_ptr<LayerTree>> load_index(const std::string& path);

}  // namespace ociunpack
