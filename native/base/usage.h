// What something takes on its file system, as du(1) has it.
#pragma once

#include <cstdint>

namespace ociunpack {

struct DiskUsage {
  uint64_t bytes = 0;   // of allocated blocks
  uint64_t inodes = 0;  // a file with several names counts once, the directory itself counts
};

// stat(2), st_blocks: "in units of 512 bytes", whatever the file system's block is.
constexpr uint64_t kStatBlockBytes = 512;

}  // namespace ociunpack
