// Decimal numbers of pax records and sparse maps.
#pragma once

#include <cstdint>
#include <string_view>

namespace ociunpack {

// One or more decimal digits and nothing else, at most UINT64_MAX; false otherwise.
inline bool parse_decimal(std::string_view text, uint64_t* number) {
  if (text.empty()) return false;
  uint64_t value = 0;
  for (const char c : text) {
    const unsigned digit = static_cast<unsigned char>(c) - unsigned{'0'};
    if (digit > 9 || value > (UINT64_MAX - digit) / 10) return false;
    value = value * 10 + digit;
  }
  *number = value;
  return true;
}

}  // namespace ociunpack
