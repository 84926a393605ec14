#include "audit/xattr_values.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace ociunpack {
namespace {

constexpr uint16_t kUserObject = 0x01, kGroupObject = 0x04, kMask = 0x10, kOther = 0x20;

template <typename T>
T load(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);  // little-endian, as this host
  return value;
}

struct AclEntry {
  uint16_t tag = 0;
  uint16_t permissions = 0;
  uint32_t id = 0;
  bool operator==(const AclEntry&) const = default;
};

// Empty for what is no ACL.
std::vector<AclEntry> parse_acl(std::string_view acl) {
  std::vector<AclEntry> entries;
  if (acl.size() < 4 || (acl.size() - 4) % 8 != 0) return entries;
  for (size_t at = 4; at < acl.size(); at += 8) {
    entries.push_back(
        {load<uint16_t>(acl, at), load<uint16_t>(acl, at + 2), load<uint32_t>(acl, at + 4)});
  }
  return entries;
}

bool has_mask(const std::vector<AclEntry>& entries) {
  return std::any_of(entries.begin(), entries.end(),
                     [](const AclEntry& entry) { return entry.tag == kMask; });
}

// The entry that the group bits of the mode show.
uint16_t group_class(const std::vector<AclEntry>& entries) {
  return has_mask(entries) ? kMask : kGroupObject;
}

std::vector<AclEntry> beyond_mode(std::string_view acl) {
  std::vector<AclEntry> entries = parse_acl(acl);
  const uint16_t group = group_class(entries);
  for (AclEntry& entry : entries) {
    if (entry.tag == kUserObject || entry.tag == kOther || entry.tag == group) {
      entry.permissions = 0;
    }
    // Only named users and groups have a number.
    if (entry.tag == kUserObject || entry.tag == kGroupObject || entry.tag == kMask ||
        entry.tag == kOther) {
      entry.id = 0;
    }
  }
  return entries;
}

constexpr uint32_t kRevisionMask = 0xFF000000, kRevision2 = 0x02000000, kRevision3 = 0x03000000;
constexpr size_t kSize2 = 20, kSize3 = 24;

// The second version, where that says the same.
std::string plain_capability(std::string_view value) {
  std::string plain(value);
  if (value.size() != kSize3) return plain;
  const auto magic = load<uint32_t>(value, 0);
  if ((magic & kRevisionMask) != kRevision3 || load<uint32_t>(value, kSize2) != 0) return plain;
  const uint32_t as_second = (magic & ~kRevisionMask) | kRevision2;
  std::memcpy(plain.data(), &as_second, sizeof as_second);
  plain.resize(kSize2);
  return plain;
}

}  // namespace

bool same_acl(std::string_view a, std::string_view b) {
  return !parse_acl(a).empty() && beyond_mode(a) == beyond_mode(b);
}

bool is_minimal_acl(std::string_view acl) {
  const std::vector<AclEntry> entries = parse_acl(acl);
  return std::all_of(entries.begin(), entries.end(), [](const AclEntry& entry) {
    return entry.tag == kUserObject || entry.tag == kGroupObject || entry.tag == kOther;
  });
}

uint32_t mode_by_acl(std::string_view acl, uint32_t mode) {
  const std::vector<AclEntry> entries = parse_acl(acl);
  if (entries.empty()) return mode;
  const uint16_t group = group_class(entries);
  mode &= 07000;
  for (const AclEntry& entry : entries) {
    if (entry.tag == kUserObject) mode |= static_cast<uint32_t>(entry.permissions & 7) << 6;
    if (entry.tag == group) mode |= static_cast<uint32_t>(entry.permissions & 7) << 3;
    if (entry.tag == kOther) mode |= entry.permissions & 7U;
  }
  return mode;
}

bool same_capability(std::string_view a, std::string_view b) {
  return plain_capability(a) == plain_capability(b);
}

}  // namespace ociunpack
