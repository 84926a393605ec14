#include "digest/digest.h"

#include <string>

#include "../check.h"

namespace ociunpack {
namespace {

std::span<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string digest_of(std::string_view algorithm, std::string_view text, size_t piece) {
  auto hasher = Hasher::create(algorithm);
  if (!hasher.ok()) return hasher.error().message();
  for (size_t i = 0; i < text.size(); i += piece)
    hasher.value().update(bytes(text.substr(i, piece)));
  return hasher.value().finish().to_string();
}

// FIPS 180-4 examples.
TEST(digest_known_answers) {
  const std::string abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  CHECK_EQ(digest_of("sha256", "abc", 3), abc);
  CHECK_EQ(digest_of("sha256", "abc", 1), abc);
  CHECK_EQ(digest_of("sha256", "", 1),
           "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK_EQ(digest_of("sha256", std::string(1'000'000, 'a'), 4097),
           "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  CHECK_EQ(
      digest_of("sha512", "abc", 2),
      "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba"
      "3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

TEST(digest_hashers_can_be_moved) {
  auto created = Hasher::create("sha256");
  REQUIRE_OK(created);
  Hasher hasher = std::move(created).value();
  hasher.update(bytes("ab"));
  Hasher moved = std::move(hasher);
  moved.update(bytes("c"));
  CHECK_EQ(moved.algorithm(), "sha256");
  CHECK(moved.hex().starts_with("ba7816bf"));
}

TEST(digest_parse) {
  const std::string text = "sha256:" + std::string(64, 'a');
  const auto digest = Digest::parse(text);
  REQUIRE_OK(digest);
  CHECK_EQ(digest.value().algorithm, "sha256");
  CHECK_EQ(digest.value().to_string(), text);
  CHECK(digest.value() == Digest::parse(text).value());
  CHECK_OK(Digest::parse("sha512:" + std::string(128, '0')));
  for (const std::string& bad : {std::string(""), std::string("sha256"),
                                 "sha256:" + std::string(63, 'a'), "sha256:" + std::string(65, 'a'),
                                 "sha256:" + std::string(64, 'A'), "sha256:" + std::string(64, 'g'),
                                 "sha512:" + std::string(64, 'a'), "md5:" + std::string(32, 'a'),
                                 ":" + std::string(64, 'a'), "sha256:../" + std::string(61, 'a')}) {
    CHECK_ERROR(Digest::parse(bad), ERR_INVALID_ARGUMENT);
  }
  CHECK_ERROR(Hasher::create("md5"), ERR_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace ociunpack
