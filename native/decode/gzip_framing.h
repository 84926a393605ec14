// The frame of a gzip member (RFC 1952): its header and trailer, parsed byte by byte, so that any
// split of the input works. Nothing of the header is kept; its CRC16 is checked where there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ociunpack {

class GzipHeader {
 public:
  // Starts over, for the next member.
  void reset();

  // Consumes from *in. Returns false on an error (see error()); the header is complete when done().
  bool parse(std::span<const uint8_t>* in);

  bool done() const { return part_ == Part::kDone; }
  const char* error() const { return error_; }

 private:
  enum class Part : uint8_t { kFixed, kExtraLength, kExtra, kName, kComment, kHeaderCrc, kDone };
  bool fail(const char* error);
  bool fixed_part();
  void next_part();
  void checksum(std::span<const uint8_t> bytes);

  static constexpr size_t kFixedBytes = 10;
  Part part_ = Part::kFixed;
  uint8_t buffer_[kFixedBytes] = {};
  size_t filled_ = 0;      // of buffer_
  size_t extra_left_ = 0;  // bytes of the extra field
  uint8_t flags_ = 0;
  uint32_t crc_ = 0;
  const char* error_ = nullptr;
};

class GzipTrailer {
 public:
  static constexpr size_t kBytes = 8;

  void reset() { filled_ = 0; }
  void parse(std::span<const uint8_t>* in);
  bool done() const { return filled_ == kBytes; }

  // Of the uncompressed data: its CRC-32, and its length modulo 2^32.
  uint32_t crc() const { return little_endian(0); }
  uint32_t size() const { return little_endian(4); }

 private:
  uint32_t little_endian(size_t at) const;
  uint8_t buffer_[kBytes] = {};
  size_t filled_ = 0;
};

}  // namespace ociunpack
