// Polynomials over GF(2) are written as the instruction wants them: bit 31 is the coefficient of
// x^0, bit 0 that of x^31. Appending n bytes to data multiplies its (raw) checksum by x^(8n), so
// that checksums of parts can be put together: M. Adler, zlib's crc32_combine().
#include "digest/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <nmmintrin.h>
#define OCIUNPACK_CRC_TARGET __attribute__((target("sse4.2")))
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define OCIUNPACK_CRC_TARGET __attribute__((target("+crc")))
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

namespace ociunpack {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint32_t kPolynomial = 0x82F63B78;
constexpr uint32_t kOne = 0x80000000;  // x^0

constexpr uint32_t times_x(uint32_t a) { return (a >> 1) ^ ((a & 1) != 0 ? kPolynomial : 0); }

constexpr uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (; a != 0; a <<= 1) {
    if ((a & kOne) != 0) product ^= b;
    b = times_x(b);
  }
  return product;
}

// x^(8 * 2^i).
constexpr std::array<uint32_t, 64> kByteShifts = [] {
  std::array<uint32_t, 64> shifts{};
  uint32_t power = kOne >> 8;
  for (uint32_t& shift : shifts) {
    shift = power;
    power = multiply(power, power);
  }
  return shifts;
}();

// x^(8 * bytes).
constexpr uint32_t byte_shift(uint64_t bytes) {
  uint32_t shift = kOne;
  for (size_t i = 0; bytes != 0; ++i, bytes >>= 1) {
    if ((bytes & 1) != 0) shift = multiply(kByteShifts[i], shift);
  }
  return shift;
}

using Table = std::array<std::array<uint32_t, 256>, 8>;

// kSlices[i][b]: the byte b followed by i zeros.
constexpr Table kSlices = [] {
  Table table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (auto& slice : table) {
      for (int bit = 0; bit < 8; ++bit) value = times_x(value);
      slice[byte] = value;
    }
  }
  return table;
}();

uint64_t load(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

#ifdef OCIUNPACK_CRC_TARGET

// A checksum shifted by a fixed number of bytes: one look-up for each of its bytes.
using ShiftTable = std::array<std::array<uint32_t, 256>, 4>;

constexpr ShiftTable shift_table(uint64_t bytes) {
  ShiftTable table{};
  const uint32_t shift = byte_shift(bytes);
  for (size_t i = 0; i < table.size(); ++i) {
    for (uint32_t bit = 1; bit < 256; bit <<= 1) {
      table[i][bit] = multiply(shift, bit << (8 * i));
      // The rest by addition: multiplication distributes over it.
      for (uint32_t below = 1; below < bit; ++below) {
        table[i][bit | below] = table[i][bit] ^ table[i][below];
      }
    }
  }
  return table;
}

// Three lanes of the first length as long as there is enough, then three of the second: files of a
// few hundred bytes are most.
constexpr size_t kLongLane = 4096;
constexpr size_t kShortLane = 256;
constexpr ShiftTable kLongShift = shift_table(kLongLane);
constexpr ShiftTable kShortShift = shift_table(kShortLane);

uint32_t shift_by(const ShiftTable& table, uint32_t value) {
  return table[0][value & 0xFF] ^ table[1][(value >> 8) & 0xFF] ^ table[2][(value >> 16) & 0xFF] ^
         table[3][value >> 24];
}

#if defined(__x86_64__)
OCIUNPACK_CRC_TARGET inline uint64_t step(uint64_t state, uint64_t word) {
  return _mm_crc32_u64(state, word);
}
OCIUNPACK_CRC_TARGET inline uint64_t step_byte(uint64_t state, uint8_t byte) {
  return _mm_crc32_u8(static_cast<uint32_t>(state), byte);
}
bool processor_can() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSE4_2) != 0;
}
#else
OCIUNPACK_CRC_TARGET inline uint64_t step(uint64_t state, uint64_t word) {
  return __crc32cd(static_cast<uint32_t>(state), word);
}
OCIUNPACK_CRC_TARGET inline uint64_t step_byte(uint64_t state, uint8_t byte) {
  return __crc32cb(static_cast<uint32_t>(state), byte);
}
bool processor_can() { return (::getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#endif

template <size_t kLane>
OCIUNPACK_CRC_TARGET inline uint64_t lanes(const ShiftTable& shift, uint64_t state,
                                           const uint8_t*& bytes, size_t& size) {
  while (size >= 3 * kLane) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (const uint8_t* end = bytes + kLane; bytes < end; bytes += 8) {
      state = step(state, load(bytes));
      second = step(second, load(bytes + kLane));
      third = step(third, load(bytes + 2 * kLane));
    }
    state = shift_by(shift, static_cast<uint32_t>(state)) ^ second;
    state = shift_by(shift, static_cast<uint32_t>(state)) ^ third;
    bytes += 2 * kLane;
    size -= 3 * kLane;
  }
  return state;
}

OCIUNPACK_CRC_TARGET uint32_t by_instruction(uint32_t crc, const uint8_t* bytes, size_t size) {
  uint64_t state = static_cast<uint32_t>(~crc);
  state = lanes<kLongLane>(kLongShift, state, bytes, size);
  state = lanes<kShortLane>(kShortShift, state, bytes, size);
  for (; size >= 8; size -= 8, bytes += 8) state = step(state, load(bytes));
  for (; size > 0; --size, ++bytes) state = step_byte(state, *bytes);
  return ~static_cast<uint32_t>(state);
}

#endif

}  // namespace

uint32_t crc32c(uint32_t crc, std::span<const uint8_t> bytes) {
#ifdef OCIUNPACK_CRC_TARGET
  static const bool can = processor_can();
  if (can) [[likely]] {
    return by_instruction(crc, bytes.data(), bytes.size());
  }
#endif
  return crc32c_by_table(crc, bytes);
}

uint32_t crc32c_by_table(uint32_t crc, std::span<const uint8_t> bytes) {
  uint32_t state = ~crc;
  const uint8_t* next = bytes.data();
  size_t size = bytes.size();
  for (; size >= 8; size -= 8, next += 8) {
    uint64_t word = load(next) ^ state;
    state = 0;
    for (size_t i = kSlices.size(); i-- > 0; word >>= 8) state ^= kSlices[i][word & 0xFF];
  }
  for (; size > 0; --size, ++next) state = (state >> 8) ^ kSlices[0][(state ^ *next) & 0xFF];
  return ~state;
}

uint32_t crc32c_zeros(uint32_t crc, uint64_t count) { return ~multiply(byte_shift(count), ~crc); }

uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t second_size) {
  return multiply(byte_shift(second_size), first) ^ second;
}

}  // namespace ociunpack
