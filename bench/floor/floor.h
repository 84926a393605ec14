// The floor: the work that no unpacker of an image can leave out, each piece timed on one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "floor/clock.h"

namespace ociunpack::bench {

struct BlobWindow {
  std::string path;
  uint64_t offset = 0;
  uint64_t length = 0;
};

struct LayerFloor {
  Seconds inflate;
  Seconds hash_blob;
  Seconds hash_tar;
  Seconds create;
  std::string decoder;
  std::string digest;
  std::string diff_id;
  uint64_t tar_bytes = 0;
  uint64_t files = 0;
  uint64_t items = 0;
  uint64_t failed = 0;
  std::string first_failure;
};

// Layer number n is created in `destination`/layers/00n/fs, in overlay format. Its peak memory is
// the largest tar.
Result<std::vector<LayerFloor>> measure_floor(const std::string& destination,
                                              const std::vector<BlobWindow>& layers);

}  // namespace ociunpack::bench
