// Memory for a whole tar of unknown size: address space is reserved at once, pages are made before
// they are written, so that no page fault falls into what is timed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace ociunpack::bench {

class Buffer {
 public:
  explicit Buffer(size_t reserve);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // `size` bytes after what is used, present in memory. ERR_LIMIT_EXCEEDED past the reserve.
  Result<std::span<uint8_t>> space(size_t size);
  void use(size_t size) { used_ += size; }
  std::span<const uint8_t> bytes() const { return {data_, used_}; }
  // Starts anew; the pages stay.
  void clear() { used_ = 0; }

 private:
  size_t reserve_;
  uint8_t* data_ = nullptr;
  size_t used_ = 0;
  size_t present_ = 0;
};

// Bytes that a Buffer may take here.
size_t memory_for_tar();

}  // namespace ociunpack::bench
