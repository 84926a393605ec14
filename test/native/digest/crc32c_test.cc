#include "digest/crc32c.h"

#include <algorithm>
#include <random>
#include <string_view>
#include <vector>

#include "../check.h"

namespace ociunpack {
namespace {

std::vector<uint8_t> random_bytes(std::mt19937_64& random, size_t size) {
  std::vector<uint8_t> bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

// The definition, bit by bit.
uint32_t by_bits(std::span<const uint8_t> bytes) {
  uint32_t state = ~0U;
  for (const uint8_t byte : bytes) {
    state ^= byte;
    for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1) != 0 ? 0x82F63B78 : 0);
  }
  return ~state;
}

// RFC 3720, appendix B.4, and the check value of the catalogue of CRCs ("123456789").
TEST(crc32c_known_vectors) {
  std::vector<uint8_t> ascending(32);
  for (size_t i = 0; i < 32; ++i) ascending[i] = static_cast<uint8_t>(i);
  std::vector<uint8_t> descending(ascending.rbegin(), ascending.rend());
  const std::string_view digits = "123456789";
  const std::vector<uint8_t> text(digits.begin(), digits.end());
  const std::pair<std::vector<uint8_t>, uint32_t> vectors[] = {
      {{}, 0},
      {text, 0xE3069283},
      {std::vector<uint8_t>(32, 0), 0x8A9136AA},
      {std::vector<uint8_t>(32, 0xFF), 0x62A8AB43},
      {ascending, 0x46DD794E},
      {descending, 0x113FDB5C}};
  for (const auto& [bytes, crc] : vectors) {
    CHECK_EQ(crc32c(0, bytes), crc);
    CHECK_EQ(crc32c_by_table(0, bytes), crc);
  }
}

// All lengths up to several short lanes, at every alignment.
TEST(crc32c_agrees_with_the_definition) {
  std::mt19937_64 random(1);
  const std::vector<uint8_t> bytes = random_bytes(random, 2000);
  for (size_t size = 0; size <= 1700; ++size) {
    const auto part = std::span(bytes).subspan(size % 9, size);
    const uint32_t expected = by_bits(part);
    CHECK_EQ(crc32c(0, part), expected);
    CHECK_EQ(crc32c_by_table(0, part), expected);
  }
}

TEST(crc32c_of_long_buffers_and_in_parts) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 60; ++round) {
    const std::vector<uint8_t> bytes = random_bytes(random, random() % 100'000);
    const uint32_t whole = crc32c_by_table(0, bytes);
    CHECK_EQ(crc32c(0, bytes), whole);
    const size_t cut = bytes.empty() ? 0 : random() % bytes.size();
    const auto first = std::span(bytes).first(cut);
    const auto second = std::span(bytes).subspan(cut);
    CHECK_EQ(crc32c(crc32c(0, first), second), whole);
    CHECK_EQ(crc32c_combine(crc32c(0, first), crc32c(0, second), second.size()), whole);
  }
}

TEST(crc32c_of_zeros) {
  const std::vector<uint8_t> zeros(100'000, 0);
  const uint8_t letter[] = {'a'};
  for (const size_t count : {0U, 1U, 7U, 4096U, 12'345U, 100'000U}) {
    CHECK_EQ(crc32c_zeros(0, count), crc32c(0, std::span(zeros).first(count)));
    CHECK_EQ(crc32c_zeros(crc32c(0, letter), count),
             crc32c(crc32c(0, letter), std::span(zeros).first(count)));
  }
  // Beyond what could be read: in two steps as in one.
  const uint64_t huge = UINT64_C(1) << 43;
  CHECK_EQ(crc32c_zeros(crc32c_zeros(5, huge), huge - 3), crc32c_zeros(5, 2 * huge - 3));
}

TEST(content_checksum_takes_holes_as_zeros) {
  std::vector<uint8_t> file(50'000, 0);
  std::mt19937_64 random(3);
  ContentChecksum checksum;
  for (const auto& [offset, size] : {std::pair<size_t, size_t>{0, 100}, {100, 1}, {5000, 9000}}) {
    const std::vector<uint8_t> piece = random_bytes(random, size);
    std::copy(piece.begin(), piece.end(), file.begin() + static_cast<ptrdiff_t>(offset));
    checksum.add(offset, piece);
  }
  CHECK_EQ(checksum.finish(file.size()), crc32c(0, file));
  CHECK_EQ(ContentChecksum().finish(0), 0U);
}

}  // namespace
}  // namespace ociunpack
