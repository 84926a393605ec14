// The limits of one layer (SEMANTICS.md, "Limits"): each settable, each trips ERR_LIMIT_EXCEEDED.
#pragma once

#include <cstdint>

namespace ociunpack {

struct Limits {
  uint64_t max_bytes = UINT64_C(1) << 42;   // uncompressed tar bytes of a layer (4 TiB)
  double max_ratio = 2000.0;                // uncompressed : compressed, checked past 64 MiB
  uint64_t max_entries = 20'000'000;        // tar entries of a layer
  uint32_t max_path_bytes = 65'536;         // one path or link target
  uint32_t max_path_depth = 4'096;          // components of one path
  uint64_t max_pax_bytes = 4 << 20;         // one pax header, one GNU long name (4 MiB)
  uint64_t max_xattr_bytes = 1 << 20;       // names and values of one entry's xattrs (1 MiB)
  uint32_t max_global_xattrs = 64;          // xattrs of the pax global headers in force
  uint32_t max_sparse_entries = 1'000'000;  // map entries of one sparse file
};

}  // namespace ociunpack
