// One 512-byte tar header block: where its fields lie, numbers, text and checksum.
// Layout: POSIX.1-2018 pax, "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format".
// Fast because nothing is copied or allocated, and the checksum adds eight bytes at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ociunpack {

inline constexpr size_t kBlockBytes = 512;

// `size` rounded up to whole blocks. SAFETY: sizes are at most INT64_MAX, so this cannot wrap.
constexpr uint64_t round_to_block(uint64_t size) {
  return (size + kBlockBytes - 1) & ~uint64_t{kBlockBytes - 1};
}

struct HeaderField {
  uint16_t offset;
  uint16_t size;
};

inline constexpr HeaderField kNameField{0, 100};
inline constexpr HeaderField kModeField{100, 8};
inline constexpr HeaderField kUidField{108, 8};
inline constexpr HeaderField kGidField{116, 8};
inline constexpr HeaderField kSizeField{124, 12};
inline constexpr HeaderField kMtimeField{136, 12};
inline constexpr HeaderField kChecksumField{148, 8};
inline constexpr size_t kTypeOffset = 156;
inline constexpr HeaderField kLinkField{157, 100};
inline constexpr size_t kMagicOffset = 257;
inline constexpr HeaderField kDevMajorField{329, 8};
inline constexpr HeaderField kDevMinorField{337, 8};
inline constexpr HeaderField kPrefixField{345, 155};

enum class HeaderFormat : uint8_t {
  kV7,     // no magic, or one nobody knows: no prefix
  kUstar,  // "ustar\0": POSIX ustar and pax, star
  kGnu,    // "ustar  \0": no prefix, GNU's own fields in its place
};
HeaderFormat header_format(const uint8_t* block);

// Whether all 512 bytes are zero: half of the mark of the archive's end.
bool is_zero_block(const uint8_t* block);

// Whether the checksum field holds the sum of the block's bytes (taken with the field as spaces),
// added as unsigned or, as some old tars did, as signed chars.
bool checksum_matches(const uint8_t* block);

struct HeaderNumber {
  enum State : uint8_t { kValid, kInvalid, kTooBig, kTooSmall };
  State state = kValid;
  int64_t value = 0;  // INT64_MAX or INT64_MIN when too big or too small
};

// Octal digits, after any spaces or NULs, ended by a space, a NUL or the field's end; an empty
// field is 0. Or GNU's base-256: the first byte's top bit set, the rest two's complement, big
// endian.
HeaderNumber parse_number(const uint8_t* block, HeaderField field);

// The bytes before the first NUL, or the whole field. Points into `block`.
std::string_view text_field(const uint8_t* block, HeaderField field);

}  // namespace ociunpack
