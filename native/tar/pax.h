// pax extended headers ('x' and 'g'): the records, strictly parsed, as typed values.
// Format: POSIX.1-2018 pax, "pax Extended Header"; xattr and ACL records as star, GNU tar and
// libarchive write them; GNU.sparse.* as in GNU tar's manual, "Storing Sparse Files".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "tar/entry.h"

namespace ociunpack {

// What GNU.sparse.* records said, in whichever of the three versions.
struct PaxSparse {
  bool present = false;  // any GNU.sparse record that describes a map
  std::optional<uint64_t> major, minor, file_size, entry_count;
  std::optional<uint64_t> pending_offset;  // version 0.0: an offset whose numbytes is to come
  bool has_pairs = false;                  // 0.0: repeated offset and numbytes
  bool has_list = false;                   // 0.1: one map record
  std::vector<Extent> map;                 // of 0.0 and 0.1, unchecked
};

// The values that records gave. Views point into the bytes that were parsed.
struct PaxFields {
  std::optional<std::string_view> path, linkpath;
  bool path_taken_away = false;  // an 'x' header said it is empty: no name at all
  bool linkpath_taken_away = false;
  std::optional<std::string_view> sparse_path;  // GNU.sparse.name: the real name, wins over path
  std::optional<uint64_t> size;                 // at most INT64_MAX
  std::optional<uint32_t> uid, gid;             // never 4294967295, which chown(2) takes for "keep"
  std::optional<uint32_t> dev_major, dev_minor;
  std::optional<Timestamp> mtime;
  std::vector<Xattr> xattrs;  // as in Entry; each name once
  uint64_t xattr_bytes = 0;   // of names and values, also of those that a later record replaced
  PaxSparse sparse;

  void clear();
};

enum class PaxKind : uint8_t { kEntry /* x */, kGlobal /* g */ };

// Parses `body` into `fields`, over what is there already (later records win). An empty value takes
// away what an earlier or global record said, so that the plain header holds again; a path or
// linkpath in an 'x' header takes the plain header's away too (as GNU tar and tarfile read it), and
// of an xattr there it is the value. `body` is decoded in place (base64, URL encoding) and must
// outlive the views. Unknown keywords are passed over; anything malformed is ERR_INVALID_TAR.
Status parse_pax(std::span<char> body, PaxKind kind, const Limits& limits, PaxFields* fields);

// The global headers' values, which hold until replaced. Owns its bytes.
class PaxGlobals {
 public:
  Status apply(std::span<char> body, const Limits& limits);
  bool empty() const { return empty_; }
  const PaxFields& fields() const { return fields_; }

 private:
  void keep_only_live_bytes();

  PaxFields fields_;
  std::unique_ptr<char[]> storage_;
  bool empty_ = true;
};

}  // namespace ociunpack
