#include "digest/sha256.h"

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "../check.h"
#include "digest/digest.h"

namespace ociunpack {
namespace {

std::vector<uint8_t> random_bytes(std::mt19937_64& random, size_t size) {
  std::vector<uint8_t> bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

std::string by_openssl(std::span<const uint8_t> bytes) {
  Hasher hasher = Hasher::create("sha256", Hasher::Engine::kOpenssl).value();
  hasher.update(bytes);
  return hasher.hex();
}

Hasher fastest() { return Hasher::create("sha256").value(); }

// All lengths around the ends of blocks and of the padding.
TEST(sha256_agrees_with_openssl) {
  std::mt19937_64 random(1);
  const std::vector<uint8_t> bytes = random_bytes(random, 300);
  for (size_t size = 0; size <= bytes.size(); size++) {
    Hasher hasher = fastest();
    hasher.update(std::span(bytes).first(size));
    CHECK_EQ(hasher.hex(), by_openssl(std::span(bytes).first(size)));
  }
}

// Two streams in random pieces, each side often empty or unaligned: both equal OpenSSL's.
TEST(sha256_both_at_once_agree_with_openssl) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 300; round++) {
    const std::vector<uint8_t> a = random_bytes(random, random() % 3000);
    const std::vector<uint8_t> b = random_bytes(random, random() % 3000);
    Hasher a_hasher = fastest();
    Hasher b_hasher = fastest();
    std::span<const uint8_t> a_left = a;
    std::span<const uint8_t> b_left = b;
    const size_t most = 1 + random() % 700;
    while (!a_left.empty() || !b_left.empty()) {
      const size_t a_size = std::min<size_t>(random() % (most + 1), a_left.size());
      const size_t b_size = std::min<size_t>(random() % (most + 1), b_left.size());
      Hasher::update_both(a_hasher, a_left.first(a_size), b_hasher, b_left.first(b_size));
      a_left = a_left.subspan(a_size);
      b_left = b_left.subspan(b_size);
    }
    CHECK_EQ(a_hasher.hex(), by_openssl(a));
    CHECK_EQ(b_hasher.hex(), by_openssl(b));
  }
}

TEST(sha256_both_at_once_of_different_algorithms) {
  const std::vector<uint8_t> bytes(1000, 'x');
  Hasher a = fastest();
  Hasher b = Hasher::create("sha512").value();
  Hasher alone = Hasher::create("sha512").value();
  Hasher::update_both(a, bytes, b, bytes);
  alone.update(bytes);
  CHECK_EQ(a.hex(), by_openssl(bytes));
  CHECK_EQ(b.hex(), alone.hex());
}

}  // namespace
}  // namespace ociunpack
