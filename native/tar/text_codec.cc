// base64 and URL decoding in place; see text_codec.h.
#include "tar/text_codec.h"

#include <cstddef>
#include <cstdint>

namespace ociunpack {
namespace {

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

bool decode_base64(std::span<char>* text) {
  size_t size = text->size();
  if (size % 4 == 0) {
    for (int i = 0; i < 2 && size > 0 && (*text)[size - 1] == '='; i++) size--;
  }
  if (size % 4 == 1) return false;
  // SAFETY: three bytes are written for four read, so writing never overtakes reading.
  size_t written = 0;
  uint32_t bits = 0;
  int bit_count = 0;
  for (size_t i = 0; i < size; i++) {
    const int digit = base64_digit((*text)[i]);
    if (digit < 0) return false;
    bits = (bits << 6 | static_cast<uint32_t>(digit)) & 0xffff;
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      (*text)[written++] = static_cast<char>(bits >> bit_count);
    }
  }
  *text = text->first(written);
  return true;
}

bool decode_url(std::span<char>* text) {
  size_t written = 0;
  for (size_t i = 0; i < text->size(); i++) {
    char c = (*text)[i];
    if (c == '%') {
      if (text->size() - i < 3) return false;
      const int high = hex_digit((*text)[i + 1]);
      const int low = hex_digit((*text)[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high << 4 | low);
      i += 2;
    }
    (*text)[written++] = c;
  }
  *text = text->first(written);
  return true;
}

}  // namespace ociunpack
