// Arena: bytes that live as long as the arena and never move. Names, link targets and xattr values
// of a layer are kept here, so that writers on other threads may read them while the layer's decode
// strand goes on adding. Not synchronised: one thread adds at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace ociunpack {

class Arena {
 public:
  // Copies `bytes`; the view returned is valid until the arena is destroyed.
  std::string_view copy(std::string_view bytes) {
    if (bytes.empty()) return {};
    char* target = allocate(bytes.size());
    std::memcpy(target, bytes.data(), bytes.size());
    return {target, bytes.size()};
  }

  char* allocate(size_t size) {
    if (size > left_) {
      const size_t chunk = std::max(size, kChunkBytes);
      chunks_.push_back(std::make_unique_for_overwrite<char[]>(chunk));
      next_ = chunks_.back().get();
      left_ = chunk;
      total_ += chunk;
    }
    char* result = next_;
    next_ += size;
    left_ -= size;
    return result;
  }

  // Bytes of memory held.
  size_t total() const { return total_; }

 private:
  static constexpr size_t kChunkBytes = 64 << 10;
  std::vector<std::unique_ptr<char[]>> chunks_;
  char* next_ = nullptr;
  size_t left_ = 0;
  size_t total_ = 0;
};

}  // namespace ociunpack
