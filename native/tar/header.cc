// Parsing of one header block; see header.h.
#include "tar/header.h"

#include <cstring>

namespace ociunpack {
namespace {

constexpr uint64_t kEvenBytes = UINT64_C(0x00ff00ff00ff00ff);
constexpr uint64_t kLowBits = UINT64_C(0x0101010101010101);

uint64_t load_word(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

// The bytes' sum. SAFETY: a 16-bit lane gets 64 words of two bytes each: at most 32,640.
uint32_t sum_bytes(const uint8_t* block) {
  uint64_t lanes = 0;
  for (size_t i = 0; i < kBlockBytes; i += 8) {
    const uint64_t word = load_word(block + i);
    lanes += (word & kEvenBytes) + ((word >> 8) & kEvenBytes);
  }
  return (lanes & 0xffff) + ((lanes >> 16) & 0xffff) + ((lanes >> 32) & 0xffff) + (lanes >> 48);
}

// How many bytes have the top bit set. SAFETY: an 8-bit lane counts at most 64.
uint32_t count_high_bytes(const uint8_t* bytes, size_t size) {
  uint64_t lanes = 0;
  for (size_t i = 0; i < size; i += 8) lanes += (load_word(bytes + i) >> 7) & kLowBits;
  uint32_t count = 0;
  for (int shift = 0; shift < 64; shift += 8) count += (lanes >> shift) & 0xff;
  return count;
}

HeaderNumber parse_base256(const uint8_t* bytes, size_t size) {
  // The marker bit gives way to a copy of the sign, which is the bit after it.
  const bool negative = (bytes[0] & 0x40) != 0;
  const uint8_t fill = negative ? 0xff : 0x00;
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (size_t i = 0; i < size; i++) {
    const uint8_t byte = i > 0 ? bytes[i] : negative ? bytes[0] | 0x80 : bytes[0] & 0x7f;
    // What the shift drops must be sign only.
    if (static_cast<uint8_t>(value >> 56) != fill) {
      return negative ? HeaderNumber{HeaderNumber::kTooSmall, INT64_MIN}
                      : HeaderNumber{HeaderNumber::kTooBig, INT64_MAX};
    }
    value = value << 8 | byte;
  }
  if ((value >> 63 != 0) != negative) {
    return negative ? HeaderNumber{HeaderNumber::kTooSmall, INT64_MIN}
                    : HeaderNumber{HeaderNumber::kTooBig, INT64_MAX};
  }
  return {HeaderNumber::kValid, static_cast<int64_t>(value)};
}

}  // namespace

HeaderFormat header_format(const uint8_t* block) {
  const uint8_t* magic = block + kMagicOffset;
  if (std::memcmp(magic, "ustar", 5) != 0) return HeaderFormat::kV7;
  if (magic[5] == '\0') return HeaderFormat::kUstar;
  if (std::memcmp(magic + 5, "  ", 3) == 0) return HeaderFormat::kGnu;
  return HeaderFormat::kV7;
}

bool is_zero_block(const uint8_t* block) {
  if (block[0] != 0) return false;
  uint64_t any = 0;
  for (size_t i = 0; i < kBlockBytes; i += 8) any |= load_word(block + i);
  return any == 0;
}

bool checksum_matches(const uint8_t* block) {
  const HeaderNumber stored = parse_number(block, kChecksumField);
  if (stored.state != HeaderNumber::kValid) return false;
  const uint8_t* field = block + kChecksumField.offset;
  uint32_t field_sum = 0;
  for (size_t i = 0; i < kChecksumField.size; i++) field_sum += field[i];
  const int64_t sum = int64_t{sum_bytes(block)} - field_sum + 8 * ' ';
  if (stored.value == sum) [[likely]]
    return true;
  const uint32_t high =
      count_high_bytes(block, kBlockBytes) - count_high_bytes(field, kChecksumField.size);
  return high > 0 && stored.value == sum - 256 * int64_t{high};
}

HeaderNumber parse_number(const uint8_t* block, HeaderField field) {
  const uint8_t* bytes = block + field.offset;
  if (bytes[0] & 0x80) return parse_base256(bytes, field.size);
  size_t i = 0;
  while (i < field.size && (bytes[i] == ' ' || bytes[i] == '\0')) i++;
  // SAFETY: at most 12 digits of 3 bits: no overflow.
  int64_t value = 0;
  for (; i < field.size; i++) {
    const unsigned digit = bytes[i] - unsigned{'0'};
    if (digit > 7) break;
    value = value << 3 | digit;
  }
  if (i < field.size && bytes[i] != ' ' && bytes[i] != '\0') return {HeaderNumber::kInvalid, 0};
  return {HeaderNumber::kValid, value};
}

std::string_view text_field(const uint8_t* block, HeaderField field) {
  const char* text = reinterpret_cast<const char*>(block) + field.offset;
  return {text, strnlen(text, field.size)};
}

}  // namespace ociunpack
