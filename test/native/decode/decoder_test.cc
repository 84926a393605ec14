#include "decode/decoder.h"

#include <string>

#include "../check.h"
#include "samples.h"

namespace ociunpack {
namespace {

using namespace std::literals;

Result<Compression> detect_text(std::string_view head) { return detect(samples::bytes(head)); }

void expect_compression(std::string_view head, Compression expected) {
  const auto result = detect_text(head);
  REQUIRE_OK(result);
  CHECK_EQ(result.value(), expected);
}

TEST(detect_by_the_first_bytes) {
  expect_compression("", Compression::kEmpty);
  expect_compression("\x1f\x8b\x08\0\0\0"sv, Compression::kGzip);
  expect_compression("\x1f\x8b"sv, Compression::kGzip);
  expect_compression("\x28\xb5\x2f\xfd\0\0"sv, Compression::kZstd);
  expect_compression("\x50\x2a\x4d\x18\0\0"sv, Compression::kZstd);
  expect_compression("\x5f\x2a\x4d\x18"sv, Compression::kZstd);
  expect_compression("etc/pa", Compression::kIdentity);
  expect_compression("\0\0\0\0\0\0"sv, Compression::kIdentity);
  expect_compression("\x1f"sv, Compression::kIdentity);
  expect_compression("\x28\xb5\x2f"sv, Compression::kIdentity);
  expect_compression("BZh9/a", Compression::kIdentity);  // a tar may begin with such a name
  expect_compression("BZh9", Compression::kIdentity);
}

TEST(detect_names_compressions_that_we_do_not_have) {
  for (const auto& [head, name] :
       {std::pair{"\xfd"
                  "7zXZ\0"sv,
                  "xz"sv},
        std::pair{"BZh91A"sv, "bzip2"sv}, std::pair{"BZh1\x17\x72"sv, "bzip2"sv},
        std::pair{"\x04\x22\x4d\x18\0\0"sv, "lz4"sv},
        std::pair{"\x1f\x9d\x90\0\0\0"sv, "compress"sv}}) {
    const auto result = detect_text(head);
    REQUIRE(!result.ok());
    CHECK_EQ(result.error().code, Code::ERR_UNKNOWN_COMPRESSION);
    CHECK(result.error().detail.find(name) != std::string::npos);
  }
}

TEST(identity_copies) {
  const std::string text = samples::text(10'000);
  for (const samples::Splits splits :
       {samples::Splits{}, samples::Splits{7, 3}, samples::Splits{SIZE_MAX, 100}}) {
    const auto decoder = make_decoder(Compression::kIdentity, {});
    CHECK_EQ(decoder->name(), "identity");
    const auto result = samples::decode_all(*decoder, text, splits);
    REQUIRE_OK(result);
    CHECK(result.value() == text);
  }
  const auto empty = samples::decode_all(*make_decoder(Compression::kEmpty, {}), "");
  REQUIRE_OK(empty);
  CHECK(empty.value().empty());
}

TEST(zstd_version_is_told) { CHECK(zstd_version().starts_with("1.")); }

}  // namespace
}  // namespace ociunpack
