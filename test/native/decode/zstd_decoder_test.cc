#include "decode/zstd_decoder.h"

#include <algorithm>
#include <string>
#include <vector>

#include "../check.h"
#include "samples.h"

namespace ociunpack {
namespace {

using samples::Splits;

constexpr Splits kSplits[] = {{SIZE_MAX, 256 << 10}, {SIZE_MAX, 1}, {1, 64 << 10}, {1, 1}, {7, 13},
                              {4096, 70'001}};

void expect_text(const std::string& stream, const std::string& expected,
                 DecodeOptions options = {}) {
  for (const Splits splits : kSplits) {
    if (std::min(splits.in, splits.out) < 100 && expected.size() > 20'000) continue;
    const auto decoder = make_decoder(Compression::kZstd, options);
    CHECK_EQ(decoder->name(), "zstd");
    const auto result = samples::decode_all(*decoder, stream, splits);
    REQUIRE_OK(result);
    CHECK(result.value() == expected);
  }
}

void expect_error(const std::string& stream, Code code, DecodeOptions options = {}) {
  for (const Splits splits : kSplits) {
    const auto result =
        samples::decode_all(*make_decoder(Compression::kZstd, options), stream, splits);
    REQUIRE(!result.ok());
    CHECK_EQ(result.error().code, code);
    CHECK(!result.error().detail.empty());
  }
}

TEST(zstd_decodes_one_frame) {
  for (const size_t size : {10'000u, 300'000u}) {
    const std::string text = samples::text(size);
    for (const int level : {-5, 1, 3, 19}) expect_text(samples::zstd(text, level), text);
  }
  const std::string noise = samples::noise(200'000);
  expect_text(samples::zstd(noise), noise);
  expect_text(samples::zstd(std::string(400'000, '\0')), std::string(400'000, '\0'));
  expect_text(samples::zstd(""), "");
}

TEST(zstd_decodes_frames_and_skippable_frames_in_any_order) {
  const std::string a = samples::text(5000, 1);
  const std::string b = samples::text(3000, 2);
  const std::string stream = samples::skippable("seek table", 0x50) + samples::zstd(a) +
                             samples::skippable("", 0x5f) + samples::zstd("") +
                             samples::zstd(b, 3, false) + samples::skippable("end", 0x5e);
  expect_text(stream, a + b);
  expect_text(samples::skippable("nothing else"), "");
}

TEST(zstd_checks_the_checksum) {
  std::string stream = samples::zstd(samples::text(5000));
  stream.back() = static_cast<char>(stream.back() ^ 1);
  expect_error(stream, Code::ERR_INVALID_ZSTD);
}

TEST(zstd_truncated_anywhere_is_an_error) {
  const std::string stream = samples::zstd(samples::text(900));
  for (size_t size = 0; size < stream.size(); size++) {
    for (const Splits splits : {Splits{SIZE_MAX, 4096}, Splits{1, 4096}, Splits{SIZE_MAX, 1}}) {
      const std::string cut = stream.substr(0, size);
      const auto alone = samples::decode_all(*make_decoder(Compression::kZstd, {}), cut, splits);
      CHECK_ERROR(alone, ERR_TRUNCATED);
      if (size == 0) continue;
      const auto second =
          samples::decode_all(*make_decoder(Compression::kZstd, {}), stream + cut, splits);
      CHECK_ERROR(second, ERR_TRUNCATED);
    }
  }
  const std::string skippable = samples::skippable("0123456789");
  for (size_t size = 1; size < skippable.size(); size++) {
    expect_error(stream + skippable.substr(0, size), Code::ERR_TRUNCATED);
  }
}

TEST(zstd_accepts_zero_padding_and_no_other_garbage) {
  const std::string text = samples::text(5000);
  const std::string stream = samples::zstd(text);
  const DecodeOptions ignore{.ignore_trailing_garbage = true};
  expect_text(stream + std::string(1000, '\0'), text);
  const std::vector<std::string> garbage = {"x", "\x28\xb5\x2fx", std::string("\0\0x", 3),
                                            std::string("\x25\xb5\x2f\xfd legacy", 11),
                                            std::string(64, '\0') + samples::zstd("after")};
  for (const std::string& tail : garbage) {
    expect_error(stream + tail, Code::ERR_TRAILING_GARBAGE);
    expect_text(stream + tail, text, ignore);
  }
  expect_text(stream + "\x28\xb5", text, ignore);  // not even a magic
}

TEST(zstd_bounds_the_window) {
  const std::string text = samples::text(100'000);
  const std::string stream = samples::zstd(text, 3, true, 24);
  expect_text(stream, text);
  expect_text(stream, text, {.max_zstd_window = 16 << 20});
  expect_error(stream, Code::ERR_LIMIT_EXCEEDED, {.max_zstd_window = (16 << 20) - 1});
  // --long=31 asks for 2 GiB: refused by default before anything is allocated.
  const std::string huge = std::string("\x28\xb5\x2f\xfd\0", 5) + static_cast<char>((31 - 10) << 3);
  expect_error(huge + std::string("\1\0\0", 3), Code::ERR_LIMIT_EXCEEDED);
}

TEST(zstd_refuses_other_data) {
  expect_error("not zstd at all", Code::ERR_INVALID_ZSTD);
  // A frame that needs dictionary 0x04 0x07.
  expect_error(std::string("\x28\xb5\x2f\xfd\x21\x07\x04\1\0\0", 10), Code::ERR_INVALID_ZSTD);
}

TEST(zstd_corruption_is_never_accepted) {
  const std::string text = samples::text(4000);
  const std::string stream = samples::zstd(text);
  for (size_t at = 0; at < stream.size(); at++) {
    std::string bad = stream;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    const auto result = samples::decode_all(*make_decoder(Compression::kZstd, {}), bad);
    // Some header bits change nothing but the window's size.
    if (result.ok()) CHECK(result.value() == text && at < 8);
  }
}

}  // namespace
}  // namespace ociunpack
