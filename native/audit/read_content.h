// The checksum of a file's content, as it is on disk.
#pragma once

#include <atomic>
#include <cstdint>

namespace ociunpack {

struct ReadContent {
  uint32_t crc32c = 0;
  uint64_t bytes = 0;  // from its start to the end of the file or of the range; holes count
  int error = 0;       // errno; then the rest does not hold
};

// Reads [from, to) of the open file. `sparse`: it may have holes, which are not read. Ends early,
// with ECANCELED, when `cancelled` becomes true. Adds to `bytes_read` as it goes.
ReadContent read_content(int fd, uint64_t from, uint64_t to, bool sparse,
                         const std::atomic<bool>& cancelled, std::atomic<uint64_t>* bytes_read);

}  // namespace ociunpack
