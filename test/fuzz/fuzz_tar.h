// Tars for the fuzz targets: made from what fuzz_layers.h says, or the input itself with its
// checksums put right, since a fuzzer hardly finds them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "fuzz_layers.h"
#include "tar/header.h"

namespace ociunpack::fuzz {

inline void set_checksum(uint8_t* block) {
  std::memset(block + kChecksumField.offset, ' ', kChecksumField.size);
  unsigned sum = 0;
  for (size_t i = 0; i < kBlockBytes; i++) sum += block[i];
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", sum);
  std::memcpy(block + kChecksumField.offset, digits, 7);
}

inline void make_checksums_right(std::vector<uint8_t>* tar) {
  for (size_t at = 0; at + kBlockBytes <= tar->size(); at += kBlockBytes) {
    uint8_t* block = tar->data() + at;
    // Only of what resembles a header: a checksum field that ends as one does.
    if (block[155] == ' ') set_checksum(block);
  }
}

inline void add_entry(std::vector<uint8_t>* tar, char type, const Said& said,
                      const std::string& body) {
  uint8_t block[kBlockBytes] = {};
  const auto put = [&block](size_t at, const std::string& text, size_t room) {
    std::memcpy(block + at, text.data(), std::min(text.size(), room));
  };
  const auto octal = [&](size_t at, uint64_t value, int digits) {
    char text[24];
    std::snprintf(text, sizeof text, "%0*llo", digits, static_cast<unsigned long long>(value));
    put(at, text, static_cast<size_t>(digits));
  };
  put(0, said.path, 100);
  octal(100, said.mode, 7);
  octal(108, 0, 7);
  octal(116, 0, 7);
  octal(124, body.size(), 11);
  octal(136, 1000 + tar->size(), 11);
  block[156] = static_cast<uint8_t>(type);
  put(157, said.target, 100);
  put(257, std::string("ustar\00000", 8), 8);
  octal(329, said.major, 7);
  octal(337, said.minor, 7);
  set_checksum(block);
  tar->insert(tar->end(), block, block + kBlockBytes);
  tar->insert(tar->end(), body.begin(), body.end());
  tar->resize((tar->size() + kBlockBytes - 1) / kBlockBytes * kBlockBytes);
}

inline std::vector<uint8_t> tar_of(const SaidLayer& layer) {
  static constexpr char kTypes[] = {'0', '1', '2', '3', '4', '5', '6'};
  std::vector<uint8_t> tar;
  // A pax header first: then bodies of hardlinks are content.
  add_entry(&tar, 'x', {.path = "pax"}, "20 comment=anything\n");
  for (const Said& said : layer) {
    if (said.xattr) {
      add_entry(&tar, 'x', {.path = "pax"},
                "41 SCHILY.xattr.trusted.overlay.opaque=y\n"
                "54 SCHILY.acl.default=user::rwx,group::r-x,other::---\n");
    }
    const bool carries = said.type == EntryType::kFile || said.type == EntryType::kHardlink;
    add_entry(&tar, kTypes[static_cast<size_t>(said.type)], said,
              std::string(carries ? said.body : 0, 'x'));
  }
  tar.resize(tar.size() + 2 * kBlockBytes);
  return tar;
}

}  // namespace ociunpack::fuzz
