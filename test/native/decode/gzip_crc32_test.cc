#include "decode/gzip_crc32.h"

#include <string>

#include "../check.h"
#include "decode/inflate_engine.h"

namespace ociunpack {
namespace {

std::span<const uint8_t> span(std::string_view bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

TEST(gzip_crc32_is_that_of_zlib) {
  CHECK_EQ(gzip_crc32(0, span("123456789")), 0xcbf43926u);
  std::string bytes(300'001, '\0');
  uint32_t random = 1;
  for (char& byte : bytes) byte = static_cast<char>((random = random * 1664525 + 1013904223) >> 24);
  // On both sides of where ISA-L is used, in one piece and continued.
  for (const size_t size : {0u, 1u, 65'535u, 65'536u, 65'537u, 300'001u}) {
    const std::string_view all = std::string_view(bytes).substr(0, size);
    const uint32_t expected = zlib_crc32(0, span(all));
    CHECK_EQ(gzip_crc32(0, span(all)), expected);
    const size_t first = size / 3;
    CHECK_EQ(gzip_crc32(gzip_crc32(0, span(all.substr(0, first))), span(all.substr(first))),
             expected);
  }
}

}  // namespace
}  // namespace ociunpack
