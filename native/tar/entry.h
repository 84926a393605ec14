// What one tar entry says, freed of the tar format: the Reader makes it, everything else consumes
// it. All views point into the Reader and are valid until it parses the next header.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace ociunpack {

enum class EntryType : uint8_t {
  kFile,  // '0', '\0', '7', and GNU 'S' and GNU.sparse pax files
  kHardlink,
  kSymlink,
  kCharDevice,
  kBlockDevice,
  kDirectory,
  kFifo,
};

// One piece of data of a sparse file, in file offsets; what no extent covers is a hole.
struct Extent {
  uint64_t offset = 0;
  uint64_t length = 0;
};

// A name without the `SCHILY.xattr.` or `LIBARCHIVE.xattr.` prefix, and its decoded value (any
// bytes). SCHILY.acl.access and SCHILY.acl.default arrive under the names "SCHILY.acl.access" and
// "SCHILY.acl.default" with the text form as value; apply turns them into system.posix_acl_*.
using Xattr = std::pair<std::string_view, std::string_view>;

struct Timestamp {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;  // 0 .. 999'999'999, added to seconds also when those are negative
};

struct Entry {
  EntryType type = EntryType::kFile;
  std::string_view path;  // as in the tar: not cleaned; may have leading "/", "./", trailing "/"
  std::string_view linkpath;  // of hard links and symlinks; else empty
  uint32_t mode = 0;          // the 12 permission bits only
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  Timestamp mtime;
  // Size of the file (of a sparse file: with its holes); of a hard link that carries its content
  // (in a pax archive) the content's; 0 for the rest.
  uint64_t size = 0;
  uint64_t body_size = 0;  // bytes of data that follow in the tar for this entry (no padding)
  bool has_sparse_map = false;
  std::vector<Extent> sparse_map;  // in order, not overlapping; sum of lengths == body_size
  std::vector<Xattr> xattrs;       // the last of a repeated name wins; each name once
  uint64_t index = 0;              // 0-based number of the entry in the layer
};

}  // namespace ociunpack
