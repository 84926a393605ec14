// CRC-32C (Castagnoli; RFC 3720, appendix B.4): the checksum of every file's content in a layer's
// index. It finds accidents; whoever wants to can make two files of one checksum.
//
// Why it is fast: the processor's own instruction takes 8 bytes a cycle but has a latency of three,
// so three parts of the data are done at once and then put together (crc32c.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ociunpack {

// The checksum of what `crc` is the checksum of, followed by `bytes`; 0 is that of nothing.
uint32_t crc32c(uint32_t crc, std::span<const uint8_t> bytes);

// The same without the processor's instruction, for processors that have none, and for comparison.
uint32_t crc32c_by_table(uint32_t crc, std::span<const uint8_t> bytes);

// The checksum of what `crc` is the checksum of, followed by `count` zeros. Some hundred
// nanoseconds, however many.
uint32_t crc32c_zeros(uint32_t crc, uint64_t count);

// The checksum of two parts of data, one after the other, the second of `second_size` bytes.
uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t second_size);

// The checksum of a file's content that comes in pieces, in the order of their offsets; what they
// leave out is a hole, and counts as zeros.
class ContentChecksum {
 public:
  void add(uint64_t offset, std::span<const uint8_t> bytes) {
    if (offset > end_) crc_ = crc32c_zeros(crc_, offset - end_);
    crc_ = crc32c(crc_, bytes);
    end_ = offset + bytes.size();
  }
  // Of a file of `size` bytes.
  uint32_t finish(uint64_t size) const {
    return size > end_ ? crc32c_zeros(crc_, size - end_) : crc_;
  }

 private:
  uint32_t crc_ = 0;
  uint64_t end_ = 0;
};

}  // namespace ociunpack
