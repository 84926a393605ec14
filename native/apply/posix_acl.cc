#include "apply/posix_acl.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <tuple>
#include <vector>

namespace ociunpack {
namespace {

// linux/posix_acl.h and linux/posix_acl_xattr.h.
constexpr uint32_t kAclVersion = 2;
constexpr uint16_t kUserObj = 0x01, kUser = 0x02, kGroupObj = 0x04, kGroup = 0x08, kMask = 0x10,
                   kOther = 0x20;
constexpr uint32_t kNoId = UINT32_MAX;

struct AclEntry {
  uint16_t tag = 0;
  uint16_t permissions = 0;
  uint32_t id = kNoId;
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t start = 0;;) {
    const size_t end = text.find(separator, start);
    parts.push_back(text.substr(start, end - start));
    if (end == std::string_view::npos) return parts;
    start = end + 1;
  }
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<uint16_t> parse_permissions(std::string_view text) {
  if (text.size() != 3) return std::nullopt;
  uint16_t bits = 0;
  for (size_t i = 0; i < 3; ++i) {
    if (text[i] == "rwx"[i]) {
      bits = static_cast<uint16_t>(bits | (4U >> i));
    } else if (text[i] != '-') {
      return std::nullopt;
    }
  }
  return bits;
}

std::optional<uint32_t> parse_id(std::string_view text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id == kNoId) return std::nullopt;
  return id;
}

std::optional<AclEntry> parse_entry(std::string_view text) {
  std::vector<std::string_view> fields = split(text, ':');
  // "mask:rwx" and "other:rwx" are common short forms.
  if (fields.size() == 2) fields.insert(fields.begin() + 1, std::string_view());
  if (fields.size() < 3 || fields.size() > 4) return std::nullopt;
  const auto permissions = parse_permissions(fields[2]);
  if (!permissions) return std::nullopt;
  AclEntry entry;
  entry.permissions = *permissions;
  const std::string_view kind = fields[0];
  const bool named = !fields[1].empty();
  if (kind == "user" || kind == "u") {
    entry.tag = named ? kUser : kUserObj;
  } else if (kind == "group" || kind == "g") {
    entry.tag = named ? kGroup : kGroupObj;
  } else if ((kind == "mask" || kind == "m") && !named) {
    entry.tag = kMask;
  } else if ((kind == "other" || kind == "o") && !named) {
    entry.tag = kOther;
  } else {
    return std::nullopt;
  }
  if (named) {
    const auto id = parse_id(fields.size() == 4 ? fields[3] : fields[1]);
    if (!id) return std::nullopt;
    entry.id = *id;
  }
  return entry;
}

template <typename T>
void append(std::string* out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

}  // namespace

Result<std::string> encode_posix_acl(std::string_view text, const std::string& path) {
  std::vector<AclEntry> entries;
  for (const std::string_view line : split(text, '\n')) {
    for (const std::string_view part : split(line, ',')) {
      const std::string_view trimmed = trim(part.substr(0, part.find('#')));
      if (trimmed.empty()) continue;
      const auto entry = parse_entry(trimmed);
      if (!entry) {
        return input_error(Code::ERR_INVALID_ENTRY, "ACL", path,
                           "the ACL entry '" + std::string(trimmed) + "' is not understood");
      }
      entries.push_back(*entry);
    }
  }
  // The kernel wants them in this order (acl(5), posix_acl_valid()).
  std::stable_sort(entries.begin(), entries.end(), [](const AclEntry& a, const AclEntry& b) {
    return std::tie(a.tag, a.id) < std::tie(b.tag, b.id);
  });
  std::string binary;
  append<uint32_t>(&binary, kAclVersion);
  for (const AclEntry& entry : entries) {
    append<uint16_t>(&binary, entry.tag);
    append<uint16_t>(&binary, entry.permissions);
    append<uint32_t>(&binary, entry.id);
  }
  return binary;
}

}  // namespace ociunpack
