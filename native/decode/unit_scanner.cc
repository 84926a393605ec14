#include "decode/unit_scanner.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace ociunpack {
namespace {

// A gzip member does not say how long it is: what looks like a header (RFC 1952, 2.3) may be one.
// Magic, method, no reserved flag, and values that writers give XFL and OS: in compressed data this
// comes about by chance once in some 10^12 bytes. A header across two pieces is missed.
class GzipScanner final : public UnitScanner {
 public:
  void scan(std::span<const uint8_t> piece, std::vector<size_t>* cuts) override {
    const uint8_t* const begin = piece.data();
    const uint8_t* at = begin;
    size_t left = piece.size();
    while (left >= kHeaderBytes) {
      const auto* found =
          static_cast<const uint8_t*>(std::memchr(at, 0x1f, left - kHeaderBytes + 1));
      if (found == nullptr) return;
      if (is_header(found)) cuts->push_back(static_cast<size_t>(found - begin));
      left -= static_cast<size_t>(found - at) + 1;
      at = found + 1;
    }
  }

 private:
  static constexpr size_t kHeaderBytes = 10;
  static constexpr uint8_t kDeflate = 8;
  static constexpr uint8_t kReservedFlags = 0xe0;

  static bool is_header(const uint8_t* bytes) {
    const uint8_t extra = bytes[8];
    const uint8_t system = bytes[9];
    return bytes[1] == 0x8b && bytes[2] == kDeflate && (bytes[3] & kReservedFlags) == 0 &&
           (extra == 0 || extra == 2 || extra == 4) && (system <= 13 || system == 255);
  }
};

// A zstd frame is a header, blocks that each say how long they are, and perhaps a checksum
// (RFC 8878, 3.1): the walk over it is exact, and stops for good at what is no frame.
class ZstdScanner final : public UnitScanner {
 public:
  void scan(std::span<const uint8_t> piece, std::vector<size_t>* cuts) override {
    size_t at = 0;
    while (at < piece.size() && state_ != State::kLost) {
      if (skip_ > 0) {
        const auto step = static_cast<size_t>(std::min<uint64_t>(skip_, piece.size() - at));
        skip_ -= step;
        at += step;
        if (skip_ > 0) return;
        if (state_ == State::kMagic) cuts->push_back(at);
        continue;
      }
      field_[filled_++] = piece[at++];
      if (filled_ == wanted_) {
        filled_ = 0;
        take_field();
        if (state_ == State::kMagic && skip_ == 0) cuts->push_back(at);
      }
    }
  }

 private:
  enum class State : uint8_t { kMagic, kDescriptor, kSkippableSize, kBlock, kLost };

  void want(State state, size_t bytes) {
    state_ = state;
    wanted_ = bytes;
  }

  void take_field() {
    const uint32_t value =
        field_[0] | field_[1] << 8 | field_[2] << 16 | static_cast<uint32_t>(field_[3]) << 24;
    field_ = {};
    switch (state_) {
      case State::kMagic:
        if (value == 0xfd2fb528) {
          want(State::kDescriptor, 1);
        } else if ((value & 0xfffffff0) == 0x184d2a50) {
          want(State::kSkippableSize, 4);
        } else {
          state_ = State::kLost;
        }
        break;
      case State::kDescriptor: {
        // Frame_Header_Descriptor: sizes of the fields that follow.
        static constexpr uint8_t kContentSize[] = {0, 2, 4, 8};
        static constexpr uint8_t kDictionary[] = {0, 1, 2, 4};
        const bool single = (value & 0x20) != 0;
        checksum_ = (value & 0x04) != 0;
        uint64_t header = kContentSize[value >> 6 & 3] + kDictionary[value & 3];
        if (single && (value >> 6 & 3) == 0) header += 1;
        if (!single) header += 1;  // Window_Descriptor
        skip_ = header;
        want(State::kBlock, 3);
        break;
      }
      case State::kSkippableSize:
        skip_ = value;
        want(State::kMagic, 4);
        break;
      case State::kBlock: {
        const bool last = (value & 1) != 0;
        const uint32_t type = value >> 1 & 3;
        const uint32_t size = value >> 3;
        if (type == 3) {  // reserved
          state_ = State::kLost;
          break;
        }
        skip_ = type == 1 ? 1 : size;  // an RLE block is one byte
        if (last) {
          if (checksum_) skip_ += 4;
          want(State::kMagic, 4);
        }
        break;
      }
      case State::kLost:
        break;
    }
  }

  State state_ = State::kMagic;
  std::array<uint8_t, 4> field_{};
  size_t filled_ = 0;
  size_t wanted_ = 4;
  uint64_t skip_ = 0;
  bool checksum_ = false;
};

}  // namespace

std::unique_ptr<UnitScanner> make_unit_scanner(Compression compression) {
  switch (compression) {
    case Compression::kGzip:
      return std::make_unique<GzipScanner>();
    case Compression::kZstd:
      return std::make_unique<ZstdScanner>();
    case Compression::kEmpty:
    case Compression::kIdentity:
      break;
  }
  return nullptr;
}

}  // namespace ociunpack
