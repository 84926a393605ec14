// The same table over both engines, and over splits of input and output.
#include "decode/gzip_decoder.h"

#include <zlib.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../check.h"
#include "samples.h"

namespace ociunpack {
namespace {

using samples::GzipParts;
using samples::Splits;

constexpr Splits kSplits[] = {{SIZE_MAX, 256 << 10}, {SIZE_MAX, 1}, {1, 64 << 10}, {1, 1}, {7, 13},
                              {4096, 70'001}};

// Runs `check(decoder factory)` for each engine that this host has.
template <typename Check>
void for_each_engine(Check check, bool ignore_garbage = false) {
  for (const bool force_zlib : {false, true}) {
    const DecodeOptions options{.ignore_trailing_garbage = ignore_garbage,
                                .force_zlib = force_zlib};
    check([&] { return make_decoder(Compression::kGzip, options); });
  }
}

void expect_text(const std::string& stream, const std::string& expected,
                 bool ignore_garbage = false) {
  for_each_engine(
      [&](auto make) {
        for (const Splits splits : kSplits) {
          // ISA-L moves its 64 KiB of history in every call: tiny steps are for small data.
          if (std::min(splits.in, splits.out) < 100 && expected.size() > 5000) continue;
          const auto decoder = make();
          const auto result = samples::decode_all(*decoder, stream, splits);
          REQUIRE_OK(result);
          CHECK(result.value() == expected);
        }
      },
      ignore_garbage);
}

void expect_error(const std::string& stream, Code code, bool ignore_garbage = false) {
  for_each_engine(
      [&](auto make) {
        for (const Splits splits : kSplits) {
          const auto result = samples::decode_all(*make(), stream, splits);
          REQUIRE(!result.ok());
          CHECK_EQ(result.error().code, code);
          CHECK(!result.error().detail.empty());
        }
      },
      ignore_garbage);
}

TEST(gzip_engines_are_named) {
  const DecodeOptions zlib{.force_zlib = true};
  CHECK_EQ(make_decoder(Compression::kGzip, zlib)->name(), "zlib");
  CHECK_EQ(make_decoder(Compression::kGzip, {})->name(), isal_available() ? "isa-l" : "zlib");
  if (!isal_available()) SKIP("libisal.so.2 is not here: only zlib is tested");
}

TEST(gzip_decodes_every_block_type) {
  for (const size_t size : {4000u, 200'000u}) {
    const std::string text = samples::text(size);
    expect_text(samples::gzip(text), text);
    expect_text(samples::gzip(text, {.level = 0}), text);                       // stored
    expect_text(samples::gzip(text, {.level = 9, .strategy = Z_FIXED}), text);  // fixed codes
    expect_text(samples::gzip(text, {.level = 6, .strategy = Z_HUFFMAN_ONLY}), text);
    expect_text(samples::gzip(text, {.level = 1, .strategy = Z_RLE}), text);
    const std::string noise = samples::noise(size);
    expect_text(samples::gzip(noise), noise);
    const std::string zeros(size, '\0');
    expect_text(samples::gzip(zeros), zeros);
  }
}

TEST(gzip_decodes_an_empty_member) {
  expect_text(samples::gzip(""), "");
  expect_text(samples::gzip("", {.level = 0}), "");
}

TEST(gzip_decodes_a_long_stream_in_large_steps) {
  const std::string text = samples::text(9'000'000, 3);
  const std::string stream = samples::gzip(text);
  for_each_engine([&](auto make) {
    for (const Splits splits : {Splits{SIZE_MAX, 256 << 10}, Splits{65'536, 1 << 20},
                                Splits{1000, 256 << 10}, Splits{100'000, 5000}}) {
      const auto result = samples::decode_all(*make(), stream, splits);
      REQUIRE_OK(result);
      CHECK(result.value() == text);
    }
  });
}

TEST(gzip_reads_all_header_fields) {
  const std::string text = samples::text(1000);
  for (const bool crc : {false, true}) {
    expect_text(samples::gzip(text, {.extra = std::string("xy\0z", 4), .header_crc = crc}), text);
    expect_text(samples::gzip(text, {.extra = "", .name = "", .header_crc = crc}), text);
    expect_text(samples::gzip(text, {.name = "layer.tar", .header_crc = crc}), text);
    expect_text(samples::gzip(text, {.comment = std::string(5000, 'c'), .header_crc = crc}), text);
    expect_text(
        samples::gzip(
            text,
            {.extra = std::string(65'535, '\0'), .name = "n", .comment = "c", .header_crc = crc}),
        text);
  }
}

TEST(gzip_refuses_bad_headers) {
  const std::string good = samples::gzip("hello", {.name = "n", .header_crc = true});
  const auto with = [&](size_t at, char value) {
    std::string bad = good;
    bad[at] = value;
    return bad;
  };
  expect_error(with(0, 'x'), Code::ERR_INVALID_GZIP);
  expect_error(with(1, 'x'), Code::ERR_INVALID_GZIP);
  expect_error(with(2, 7), Code::ERR_INVALID_GZIP);                                  // method
  expect_error(with(3, static_cast<char>(good[3] | 0x20)), Code::ERR_INVALID_GZIP);  // reserved
  expect_error(with(5, 'x'), Code::ERR_INVALID_GZIP);   // mtime, seen by the header's checksum
  expect_error(with(10, 'm'), Code::ERR_INVALID_GZIP);  // name
  expect_error(with(12, static_cast<char>(good[12] ^ 1)), Code::ERR_INVALID_GZIP);  // the checksum
}

TEST(gzip_decodes_all_members) {
  std::string stream;
  std::string text;
  for (uint32_t i = 0; i < 40; i++) {
    const std::string part = samples::text(i * i % 250, i);
    stream += samples::gzip(
        part, {.name = "part", .header_crc = i % 2 == 0, .level = static_cast<int>(i % 10)});
    text += part;
  }
  expect_text(stream, text);
}

TEST(gzip_checks_crc_and_size_of_every_member) {
  const std::string one = samples::gzip(samples::text(3000, 1));
  const std::string two = samples::gzip(samples::text(2000, 2));
  for (const size_t back : {1u, 4u, 5u, 8u}) {  // ISIZE, then CRC-32, from the end
    std::string bad = one;
    bad[bad.size() - back] = static_cast<char>(bad[bad.size() - back] ^ 0x40);
    expect_error(bad, Code::ERR_INVALID_GZIP);
    expect_error(bad + two, Code::ERR_INVALID_GZIP);
    expect_error(two + bad, Code::ERR_INVALID_GZIP);
    expect_error(two + bad, Code::ERR_INVALID_GZIP, true);
  }
}

TEST(gzip_truncated_anywhere_is_an_error) {
  const std::string stream = samples::gzip(
      samples::text(700), {.extra = "ab", .name = "name", .comment = "c", .header_crc = true});
  for_each_engine([&](auto make) {
    for (size_t size = 0; size < stream.size(); size++) {
      for (const Splits splits : {Splits{SIZE_MAX, 4096}, Splits{1, 4096}, Splits{SIZE_MAX, 1}}) {
        const auto result = samples::decode_all(*make(), stream.substr(0, size), splits);
        CHECK_ERROR(result, ERR_TRUNCATED);
      }
    }
    // In the second member likewise; only its very first byte is not yet a member.
    for (size_t size = 1; size < stream.size(); size++) {
      const auto result = samples::decode_all(*make(), stream + stream.substr(0, size));
      CHECK_ERROR(result, ERR_TRUNCATED);
    }
  });
}

TEST(gzip_accepts_zero_padding_and_no_other_garbage) {
  const std::string text = samples::text(1500);
  const std::string stream = samples::gzip(text);
  expect_text(stream + std::string(1, '\0'), text);
  expect_text(stream + std::string(10'240, '\0'), text);
  const std::vector<std::string> garbage = {
      "x", "\x1fx", std::string("\0\0x", 3), "garbage that is longer",
      std::string(512, '\0') + samples::gzip("after padding")};
  for (const std::string& tail : garbage) {
    expect_error(stream + tail, Code::ERR_TRAILING_GARBAGE);
    expect_text(stream + tail, text, true);
  }
  expect_text(stream + "\x1f", text, true);
  expect_error(stream + "\x1f\x8b", Code::ERR_TRUNCATED, true);
  // A second magic is a member, even where garbage is ignored.
  expect_error(stream + "\x1f\x8bgarbage that is no header", Code::ERR_INVALID_GZIP, true);
}

TEST(gzip_refuses_data_that_is_not_deflate) {
  std::string reserved_block = samples::gzip_header({}) + std::string(20, '\x07');
  expect_error(reserved_block, Code::ERR_INVALID_GZIP);
  const std::string stored_wrong = samples::gzip_header({}) + std::string("\1\5\0\5\0hello", 10) +
                                   samples::gzip_trailer("hello");
  expect_error(stored_wrong, Code::ERR_INVALID_GZIP);  // LEN and NLEN do not match
  // A distance beyond the beginning of the output: fixed block, 'a', then length 3 distance 4.
  // Bits: 1 01 | 10010001 | 0000001 | 00011 | 0000000, codes from their highest bit.
  const std::string far_back =
      samples::gzip_header({}) + std::string("\x4b\x04\x62\x00\x00", 5) + std::string(8, '\0');
  expect_error(far_back, Code::ERR_INVALID_GZIP);
}

TEST(gzip_corruption_is_never_accepted) {
  const std::string text = samples::text(2000);
  const std::string stream = samples::gzip(text);
  for_each_engine([&](auto make) {
    for (size_t at = 10; at < stream.size(); at++) {
      for (const int bit : {0, 3, 7}) {
        std::string bad = stream;
        bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
        const auto result = samples::decode_all(*make(), bad);
        // The bits between the final block and the next byte mean nothing.
        if (result.ok()) CHECK(result.value() == text && at == stream.size() - 9);
      }
    }
  });
}

TEST(gzip_finishes_when_the_output_was_full_at_the_end) {
  const std::string text = samples::text(64 << 10);
  const std::string stream = samples::gzip(text);
  for_each_engine([&](auto make) {
    const auto decoder = make();
    std::vector<uint8_t> out(text.size());
    auto step = decoder->decode(samples::bytes(stream), true, out);
    REQUIRE_OK(step);
    CHECK_EQ(step.value().produced, text.size());
    size_t consumed = step.value().consumed;
    for (int i = 0; i < 3 && !step.value().finished; i++) {
      step = decoder->decode(samples::bytes(stream).subspan(consumed), true, out);
      REQUIRE_OK(step);
      CHECK_EQ(step.value().produced, 0u);
      consumed += step.value().consumed;
    }
    CHECK(step.value().finished);
    CHECK_EQ(consumed, stream.size());
  });
}

}  // namespace
}  // namespace ociunpack
