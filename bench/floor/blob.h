// A blob, mapped and in memory before anything is timed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "floor/floor.h"

namespace ociunpack::bench {

class MappedBlob {
 public:
  static Result<MappedBlob> open(const BlobWindow& window);
  MappedBlob(MappedBlob&& other) noexcept;
  MappedBlob(const MappedBlob&) = delete;
  MappedBlob& operator=(const MappedBlob&) = delete;
  ~MappedBlob();

  std::span<const uint8_t> bytes() const {
    return {static_cast<const uint8_t*>(data_) + lead_, size_};
  }

 private:
  MappedBlob(void* data, size_t size, size_t lead) : data_(data), size_(size), lead_(lead) {}
  void* data_;
  size_t size_;
  size_t lead_;  // bytes of the page before the window
};

}  // namespace ociunpack::bench
