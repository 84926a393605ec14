// The metadata of one path, as the layer says it.
#pragma once

#include <cstdint>
#include <span>

#include "tar/entry.h"

namespace ociunpack {

struct Attributes {
  uint32_t mode = 0;  // 12 bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  Timestamp mtime;
  std::span<const Xattr> xattrs;
};

}  // namespace ociunpack
