// Layers from a few bytes, for the targets plan and apply: each byte chooses the kind of an entry
// and the components of its names, out of few, so that entries and layers meet, and so that the
// ways out of the root are among them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tar/entry.h"

namespace ociunpack::fuzz {

struct Said {
  EntryType type = EntryType::kFile;
  std::string path, target;
  uint32_t mode = 0644;
  uint64_t body = 0;
  uint32_t major = 1, minor = 3;
  bool xattr = false;
};
using SaidLayer = std::vector<Said>;

class Bytes {
 public:
  explicit Bytes(std::span<const uint8_t> bytes) : left_(bytes) {}
  bool empty() const { return left_.empty(); }
  uint8_t next() {
    if (left_.empty()) return 0;
    const uint8_t byte = left_.front();
    left_ = left_.subspan(1);
    return byte;
  }

 private:
  std::span<const uint8_t> left_;
};

inline std::string component(uint8_t choice) {
  static constexpr std::string_view kNames[] = {"a",     "b", "c",     "d",     "a",
                                                "b",     "c", "d",     "..",    ".",
                                                "",      "e", ".wh.a", ".wh.b", ".wh..wh..opq",
                                                "canary"};
  return std::string(kNames[choice & 15]);
}

// 1 to 4 components: two bits say how many, the others and the next bytes which.
inline std::string path_of(Bytes& bytes) {
  const uint8_t first = bytes.next();
  std::string path = (first & 0x40) != 0 ? "/" : "";
  path += component(first);
  const unsigned more = (first & 0x80) != 0 ? 1 + (first >> 4 & 3) : 0;
  for (unsigned i = 0; i < more; i++) path += "/" + component(bytes.next());
  return path;
}

inline std::string target_of(Bytes& bytes) {
  static constexpr std::string_view kTargets[] = {"/",
                                                  ".",
                                                  "..",
                                                  "../../../../canary",
                                                  "/canary/secret",
                                                  "../../canary/directory",
                                                  "/proc/self/root",
                                                  "../../../../../../../../canary/secret"};
  const uint8_t choice = bytes.next();
  if ((choice & 0x88) == 0x88) return std::string(kTargets[choice & 7]);
  std::string target = (choice & 0x40) != 0 ? "/" : (choice & 0x20) != 0 ? "../" : "";
  target += component(choice & 7);
  if ((choice & 0x10) != 0) target += "/" + component(bytes.next());
  return target;
}

inline std::vector<SaidLayer> layers_of(std::span<const uint8_t> input, size_t max_entries) {
  static constexpr uint32_t kModes[] = {0644, 0755, 04711, 02755, 01777, 0, 0600, 06777};
  Bytes bytes(input);
  std::vector<SaidLayer> layers(1);
  for (size_t i = 0; i < max_entries && !bytes.empty(); i++) {
    const uint8_t choice = bytes.next();
    if (choice >= 0xf0) {
      if (layers.size() < 4) layers.emplace_back();
      continue;
    }
    Said said;
    said.mode = kModes[choice >> 4 & 7];
    switch (choice & 15) {
      case 0:
      case 1:
      case 2:
        said.body = choice & 0x80 ? 600 : 3;
        break;
      case 3:
      case 4:
      case 5:
        said.type = EntryType::kDirectory;
        break;
      case 6:
      case 7:
        said.type = EntryType::kSymlink;
        break;
      case 8:
      case 9:
      case 10:
        said.type = EntryType::kHardlink;
        break;
      case 11:
        said.type = EntryType::kHardlink;
        said.body = 5;
        break;
      case 12:
        said.type = EntryType::kFifo;
        break;
      case 13:
        said.type = EntryType::kCharDevice;
        break;
      default:
        said.type = EntryType::kDirectory;
        said.xattr = true;
    }
    said.path = path_of(bytes);
    if (said.path.empty()) said.path = "./";
    if (said.type == EntryType::kSymlink) said.target = target_of(bytes);
    if (said.type == EntryType::kHardlink) {
      said.target = path_of(bytes);
      if (said.target.empty()) said.target = "a";
    }
    if (said.type == EntryType::kSymlink && said.target.empty()) said.target = "b";
    layers.back().push_back(std::move(said));
  }
  return layers;
}

}  // namespace ociunpack::fuzz
