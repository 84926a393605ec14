// Header blocks: numbers, text, checksums, formats.
#include "tar/header.h"

#include <string>

#include "test/native/check.h"
#include "test/native/tar/tar_builder.h"

namespace ociunpack {
namespace {

using namespace std::string_literals;

HeaderNumber number_of(const std::string& bytes) {
  return parse_number(reinterpret_cast<const uint8_t*>(bytes.data()),
                      {0, static_cast<uint16_t>(bytes.size())});
}

const uint8_t* bytes_of(const std::string& block) {
  return reinterpret_cast<const uint8_t*>(block.data());
}

TEST(octal_numbers) {
  const struct {
    std::string field;
    HeaderNumber::State state;
    int64_t value;
  } cases[] = {
      {"0000644\0"s, HeaderNumber::kValid, 0644},
      {"   644 \0"s, HeaderNumber::kValid, 0644},
      {"644\0\0\0\0\0"s, HeaderNumber::kValid, 0644},
      {"644     "s, HeaderNumber::kValid, 0644},
      {"\0\0\0 644\0"s, HeaderNumber::kValid, 0644},
      {"12345670"s, HeaderNumber::kValid, 012345670},
      {"77777777"s, HeaderNumber::kValid, 077777777},
      {"777777777777"s, HeaderNumber::kValid, 0777777777777},
      {"644\0junk"s, HeaderNumber::kValid, 0644},
      {"\0\0\0\0\0\0\0\0"s, HeaderNumber::kValid, 0},
      {"        "s, HeaderNumber::kValid, 0},
      {"0000648\0"s, HeaderNumber::kInvalid, 0},
      {"-1\0\0\0\0\0\0"s, HeaderNumber::kInvalid, 0},
      {"0x12\0\0\0\0"s, HeaderNumber::kInvalid, 0},
      {"+12\0\0\0\0\0"s, HeaderNumber::kInvalid, 0},
      {"644x\0\0\0\0"s, HeaderNumber::kInvalid, 0},
      {"junk\0\0\0\0"s, HeaderNumber::kInvalid, 0},
  };
  for (const auto& c : cases) {
    const HeaderNumber number = number_of(c.field);
    CHECK_EQ(number.state, c.state);
    CHECK_EQ(number.value, c.value);
  }
}

TEST(base256_numbers) {
  const std::string ff11(11, '\xff');
  const struct {
    std::string field;
    HeaderNumber::State state;
    int64_t value;
  } cases[] = {
      {"\x80\0\0\0\0\0\0\0"s, HeaderNumber::kValid, 0},
      {"\x80\0\0\0\0\0\0\x01"s, HeaderNumber::kValid, 1},
      {"\x80\0\0\0\0\x20\0\0"s, HeaderNumber::kValid, 0x200000},
      {"\x80\0\0\0\0\0\0\x02\0\0\0\0"s, HeaderNumber::kValid, INT64_C(2) << 32},
      {"\xff\xff\xff\xff\xff\xff\xff\xff"s, HeaderNumber::kValid, -1},
      {"\xff"s + ff11, HeaderNumber::kValid, -1},
      {"\xff"s + ff11.substr(1) + "\xfe", HeaderNumber::kValid, -2},
      {"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0"s, HeaderNumber::kValid, INT64_MIN},
      {"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"s, HeaderNumber::kValid, INT64_MAX},
      {"\x80\0\0\0\x80\0\0\0\0\0\0\0"s, HeaderNumber::kTooBig, INT64_MAX},
      {"\x80\0\0\x01\0\0\0\0\0\0\0\0"s, HeaderNumber::kTooBig, INT64_MAX},
      {"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"s, HeaderNumber::kTooBig, INT64_MAX},
      {"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff"s, HeaderNumber::kTooSmall, INT64_MIN},
      {"\xc0\0\0\0\0\0\0\0\0\0\0\0"s, HeaderNumber::kTooSmall, INT64_MIN},
  };
  for (const auto& c : cases) {
    const HeaderNumber number = number_of(c.field);
    CHECK_EQ(number.state, c.state);
    CHECK_EQ(number.value, c.value);
  }
}

TEST(checksums) {
  CHECK(checksum_matches(bytes_of(tar_test::block({}))));
  // With bytes above 0x7f the unsigned and the signed sum differ; both are right.
  CHECK(checksum_matches(bytes_of(tar_test::block({.name = "caf\xc3\xa9"}))));
  CHECK(checksum_matches(
      bytes_of(tar_test::block({.name = "caf\xc3\xa9", .signed_checksum = true}))));
  CHECK(checksum_matches(bytes_of(
      tar_test::block({.name = std::string(100, '\xff'), .link = std::string(100, '\xff')}))));
  // Written with leading spaces, or 8 digits without an end.
  std::string block = tar_test::block({});
  const std::string digits = block.substr(148, 6);
  block.replace(148, 8, "  " + digits.substr(0, 6));
  CHECK(checksum_matches(bytes_of(block)));
  block.replace(148, 8, "00" + digits);
  CHECK(checksum_matches(bytes_of(block)));
  for (const size_t at : {0, 100, 156, 300, 511}) {
    std::string wrong = tar_test::block({});
    wrong[at] ^= 1;
    CHECK(!checksum_matches(bytes_of(wrong)));
  }
  CHECK(!checksum_matches(bytes_of(tar_test::block({.patches = {{148, "        "}}}))));
  CHECK(!checksum_matches(bytes_of(tar_test::zeros(1))));
}

TEST(zero_blocks) {
  std::string zero = tar_test::zeros(1);
  CHECK(is_zero_block(bytes_of(zero)));
  for (const size_t at : {0, 1, 255, 511}) {
    std::string other = zero;
    other[at] = 1;
    CHECK(!is_zero_block(bytes_of(other)));
  }
}

TEST(formats) {
  const auto format = [](const std::string& magic) {
    return header_format(bytes_of(tar_test::block({.magic = magic})));
  };
  CHECK_EQ(format(tar_test::kUstarMagic), HeaderFormat::kUstar);
  CHECK_EQ(format("ustar\0  "s), HeaderFormat::kUstar);
  CHECK_EQ(format(tar_test::kGnuMagic), HeaderFormat::kGnu);
  CHECK_EQ(format(tar_test::kV7Magic), HeaderFormat::kV7);
  CHECK_EQ(format("ustar 00"s), HeaderFormat::kV7);
}

TEST(text_fields) {
  const std::string full(100, 'n');
  CHECK_EQ(text_field(bytes_of(tar_test::block({.name = full})), kNameField), full);
  CHECK_EQ(text_field(bytes_of(tar_test::block({.name = "a\0b"s})), kNameField), "a");
  CHECK_EQ(text_field(bytes_of(tar_test::block({.name = ""})), kNameField), "");
}

}  // namespace
}  // namespace ociunpack
