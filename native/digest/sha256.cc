#include "digest/sha256.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace ociunpack {
namespace {

#if defined(__x86_64__)

// FIPS 180-4, 4.2.2.
alignas(16) constexpr uint32_t kRounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

bool processor_can() {
  unsigned a, b, c, d;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (b & (1U << 29)) == 0) return false;  // SHA
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSE4_1) != 0 && (c & bit_SSSE3) != 0;
}

// `blocks` blocks into each of kStreams states. All loops over streams and rounds are unrolled, so
// that the states stay in registers and the instructions of the streams alternate.
template <size_t kStreams>
__attribute__((target("sha,sse4.1,ssse3"))) void compress(uint32_t* const (&states)[kStreams],
                                                          const uint8_t* const (&data)[kStreams],
                                                          size_t blocks) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  // The instructions want the words as ABEF and CDGH.
  __m128i abef[kStreams];
  __m128i cdgh[kStreams];
  for (size_t i = 0; i < kStreams; i++) {
    const auto* state = reinterpret_cast<const __m128i*>(states[i]);
    const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(state), 0xB1);
    const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(state + 1), 0x1B);
    abef[i] = _mm_alignr_epi8(cdab, efgh, 8);
    cdgh[i] = _mm_blend_epi16(efgh, cdab, 0xF0);
  }
  for (size_t block = 0; block < blocks; block++) {
    __m128i abef_before[kStreams];
    __m128i cdgh_before[kStreams];
    __m128i words[kStreams][4];  // the last 16 words of the message schedule
    for (size_t i = 0; i < kStreams; i++) {
      abef_before[i] = abef[i];
      cdgh_before[i] = cdgh[i];
    }
#pragma GCC unroll 16
    for (size_t four = 0; four < 16; four++) {  // four rounds
      const __m128i constants = _mm_load_si128(reinterpret_cast<const __m128i*>(kRounds) + four);
      const size_t now = four % 4;
      const size_t next = (four + 1) % 4;
      const size_t before = (four + 3) % 4;
#pragma GCC unroll 2
      for (size_t i = 0; i < kStreams; i++) {
        if (four < 4) {
          const auto* source = reinterpret_cast<const __m128i*>(data[i] + block * 64) + four;
          words[i][now] = _mm_shuffle_epi8(_mm_loadu_si128(source), big_endian);
        }
        __m128i input = _mm_add_epi32(words[i][now], constants);
        cdgh[i] = _mm_sha256rnds2_epu32(cdgh[i], abef[i], input);
        if (four >= 3 && four < 15) {
          const __m128i seven_back = _mm_alignr_epi8(words[i][now], words[i][before], 4);
          words[i][next] =
              _mm_sha256msg2_epu32(_mm_add_epi32(words[i][next], seven_back), words[i][now]);
        }
        input = _mm_shuffle_epi32(input, 0x0E);
        abef[i] = _mm_sha256rnds2_epu32(abef[i], cdgh[i], input);
        if (four >= 1 && four < 13) {
          words[i][before] = _mm_sha256msg1_epu32(words[i][before], words[i][now]);
        }
      }
    }
    for (size_t i = 0; i < kStreams; i++) {
      abef[i] = _mm_add_epi32(abef[i], abef_before[i]);
      cdgh[i] = _mm_add_epi32(cdgh[i], cdgh_before[i]);
    }
  }
  for (size_t i = 0; i < kStreams; i++) {
    auto* state = reinterpret_cast<__m128i*>(states[i]);
    const __m128i feba = _mm_shuffle_epi32(abef[i], 0x1B);
    const __m128i dchg = _mm_shuffle_epi32(cdgh[i], 0xB1);
    _mm_storeu_si128(state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128(state + 1, _mm_alignr_epi8(dchg, feba, 8));
  }
}

#else

bool processor_can() { return false; }

template <size_t kStreams>
void compress(uint32_t* const (&)[kStreams], const uint8_t* const (&)[kStreams], size_t) {}

#endif

void compress_one(uint32_t* state, const uint8_t* data, size_t blocks) {
  compress<1>({state}, {data}, blocks);
}

}  // namespace

bool Sha256::available() {
  static const bool can = processor_can();
  return can;
}

// Completes the block that an earlier update has begun; what is left, cut at whole blocks.
Sha256::Blocks Sha256::fill(std::span<const uint8_t> bytes) {
  total_bytes_ += bytes.size();
  if (partial_bytes_ > 0) {
    const size_t taken = std::min(bytes.size(), kBlockBytes - partial_bytes_);
    std::memcpy(partial_.data() + partial_bytes_, bytes.data(), taken);
    partial_bytes_ += taken;
    bytes = bytes.subspan(taken);
    if (partial_bytes_ < kBlockBytes) return {};
    compress_one(state_.data(), partial_.data(), 1);
    partial_bytes_ = 0;
  }
  const size_t whole = bytes.size() / kBlockBytes * kBlockBytes;
  return {bytes.first(whole), bytes.subspan(whole)};
}

void Sha256::keep(std::span<const uint8_t> rest) {
  if (rest.empty()) return;
  std::memcpy(partial_.data(), rest.data(), rest.size());
  partial_bytes_ = rest.size();
}

void Sha256::update(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return;
  const Blocks blocks = fill(bytes);
  compress_one(state_.data(), blocks.whole.data(), blocks.whole.size() / kBlockBytes);
  keep(blocks.rest);
}

void Sha256::update_both(Sha256& a, std::span<const uint8_t> a_bytes, Sha256& b,
                         std::span<const uint8_t> b_bytes) {
  if (a_bytes.empty()) return b.update(b_bytes);
  if (b_bytes.empty()) return a.update(a_bytes);
  Blocks from_a = a.fill(a_bytes);
  Blocks from_b = b.fill(b_bytes);
  const size_t common = std::min(from_a.whole.size(), from_b.whole.size());
  compress<2>({a.state_.data(), b.state_.data()}, {from_a.whole.data(), from_b.whole.data()},
              common / kBlockBytes);
  from_a.whole = from_a.whole.subspan(common);
  from_b.whole = from_b.whole.subspan(common);
  compress_one(a.state_.data(), from_a.whole.data(), from_a.whole.size() / kBlockBytes);
  compress_one(b.state_.data(), from_b.whole.data(), from_b.whole.size() / kBlockBytes);
  a.keep(from_a.rest);
  b.keep(from_b.rest);
}

Sha256::Value Sha256::finish() {
  const uint64_t bits = total_bytes_ * 8;
  // 0x80, zeros, and the length in bits at the end of a block (FIPS 180-4, 5.1.1).
  std::array<uint8_t, 2 * kBlockBytes> padding{0x80};
  const size_t zeros_end = (partial_bytes_ < 56 ? 56 : 120) - partial_bytes_;
  for (size_t i = 0; i < 8; i++) {
    padding[zeros_end + i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
  }
  update(std::span(padding).first(zeros_end + 8));
  Value value;
  for (size_t i = 0; i < value.size(); i++) {
    value[i] = static_cast<uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  }
  return value;
}

}  // namespace ociunpack
