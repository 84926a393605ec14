#include "decode/gzip_framing.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace ociunpack {
namespace {

// RFC 1952, 2.3.1.
constexpr uint8_t kHeaderCrcFlag = 0x02;
constexpr uint8_t kExtraFlag = 0x04;
constexpr uint8_t kNameFlag = 0x08;
constexpr uint8_t kCommentFlag = 0x10;
constexpr uint8_t kReservedFlags = 0xe0;

// Moves up to `wanted - *filled` bytes to `buffer`; true when it is full.
bool fill(uint8_t* buffer, size_t wanted, size_t* filled, std::span<const uint8_t>* in) {
  const size_t size = std::min(wanted - *filled, in->size());
  if (size > 0) std::memcpy(buffer + *filled, in->data(), size);
  *filled += size;
  *in = in->subspan(size);
  return *filled == wanted;
}

}  // namespace

void GzipHeader::reset() { *this = GzipHeader(); }

bool GzipHeader::fail(const char* error) {
  error_ = error;
  return false;
}

void GzipHeader::checksum(std::span<const uint8_t> bytes) {
  if (!(flags_ & kHeaderCrcFlag) || bytes.empty()) return;
  crc_ = static_cast<uint32_t>(::crc32(crc_, bytes.data(), static_cast<uInt>(bytes.size())));
}

bool GzipHeader::fixed_part() {
  if (buffer_[0] != 0x1f || buffer_[1] != 0x8b) return fail("not a gzip member");
  if (buffer_[2] != 8) return fail("unknown compression method in the gzip header");
  flags_ = buffer_[3];
  if (flags_ & kReservedFlags) return fail("reserved flags are set in the gzip header");
  checksum({buffer_, kFixedBytes});
  return true;
}

void GzipHeader::next_part() {
  filled_ = 0;
  // The parts stand in this order, each only if its flag is set.
  switch (part_) {
    case Part::kFixed:
      part_ = Part::kExtraLength;
      if (flags_ & kExtraFlag) return;
      [[fallthrough]];
    case Part::kExtraLength:
    case Part::kExtra:
      part_ = Part::kName;
      if (flags_ & kNameFlag) return;
      [[fallthrough]];
    case Part::kName:
      part_ = Part::kComment;
      if (flags_ & kCommentFlag) return;
      [[fallthrough]];
    case Part::kComment:
      part_ = Part::kHeaderCrc;
      if (flags_ & kHeaderCrcFlag) return;
      [[fallthrough]];
    default:
      part_ = Part::kDone;
  }
}

bool GzipHeader::parse(std::span<const uint8_t>* in) {
  while (part_ != Part::kDone && !in->empty()) {
    switch (part_) {
      case Part::kFixed:
        if (!fill(buffer_, kFixedBytes, &filled_, in)) return true;
        if (!fixed_part()) return false;
        next_part();
        break;
      case Part::kExtraLength:
        if (!fill(buffer_, 2, &filled_, in)) return true;
        checksum({buffer_, 2});
        extra_left_ = buffer_[0] | buffer_[1] << 8;
        part_ = Part::kExtra;
        if (extra_left_ == 0) next_part();
        break;
      case Part::kExtra: {
        const size_t size = std::min(extra_left_, in->size());
        checksum(in->first(size));
        *in = in->subspan(size);
        extra_left_ -= size;
        if (extra_left_ == 0) next_part();
        break;
      }
      case Part::kName:
      case Part::kComment: {  // ended by a NUL
        const auto piece = in->first(std::min(in->size(), size_t{1} << 20));
        const auto end = std::find(piece.begin(), piece.end(), 0);
        const bool found = end != piece.end();
        const size_t size = static_cast<size_t>(end - piece.begin()) + (found ? 1 : 0);
        checksum(in->first(size));
        *in = in->subspan(size);
        if (found) next_part();
        break;
      }
      case Part::kHeaderCrc:
        if (!fill(buffer_, 2, &filled_, in)) return true;
        if (static_cast<uint32_t>(buffer_[0] | buffer_[1] << 8) != (crc_ & 0xffff)) {
          return fail("wrong checksum of the gzip header");
        }
        next_part();
        break;
      case Part::kDone:
        break;
    }
  }
  return true;
}

void GzipTrailer::parse(std::span<const uint8_t>* in) { fill(buffer_, kBytes, &filled_, in); }

uint32_t GzipTrailer::little_endian(size_t at) const {
  return static_cast<uint32_t>(buffer_[at]) | static_cast<uint32_t>(buffer_[at + 1]) << 8 |
         static_cast<uint32_t>(buffer_[at + 2]) << 16 |
         static_cast<uint32_t>(buffer_[at + 3]) << 24;
}

}  // namespace ociunpack
