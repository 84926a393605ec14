#include "audit/compare.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "apply/metadata.h"
#include "apply/posix_acl.h"
#include "audit/xattr_values.h"

namespace ociunpack {
namespace {

constexpr std::string_view kAccessAcl = "system.posix_acl_access";
constexpr std::string_view kCapability = "security.capability";

Namespace namespace_of(Format format) {
  switch (format) {
    case Format::kOverlay:
      return {"trusted.overlay."};
    case Format::kOverlayUserxattr:
      return {"user.overlay."};
    case Format::kAufs:
    case Format::kFlat:
      break;
  }
  return {};
}

bool same_time(const Timestamp& expected, const DiskEntry& entry) {
  // Every file system has the times between; beyond, some take the nearest that they have.
  constexpr int64_t kMin = -INT64_C(0x80000000);
  constexpr int64_t kMax = INT64_C(0x7FFFFFFF);
  const Timestamp& found = entry.facts.mtime;
  if (found.seconds == expected.seconds) {
    return found.nanoseconds == expected.nanoseconds || !entry.fine_times;
  }
  if (expected.seconds > kMax) return found.seconds >= kMax && found.seconds < expected.seconds;
  if (expected.seconds < kMin) return found.seconds <= kMin && found.seconds > expected.seconds;
  return false;
}

// Measured by the host's own security modules as they go, not said by any layer.
bool is_label(std::string_view name) {
  return name == "security.ima" || name == "security.evm" || name == "security.apparmor" ||
         name.starts_with("security.SMACK64");
}

const std::string* find(const FactXattrs& xattrs, std::string_view name) {
  for (const auto& [own, value] : xattrs) {
    if (own == name) return &value;
  }
  return nullptr;
}

}  // namespace

Comparer::Comparer(const ExpectedTree& tree, Format format, Policies policies)
    : tree_(tree),
      format_(format),
      policies_(std::move(policies)),
      overlay_(namespace_of(format)) {}

FactType Comparer::type(const ExpectedNode& node) const {
  switch (node.type()) {
    case NodeType::kDirectory:
      return FactType::kDirectory;
    case NodeType::kSymlink:
      return FactType::kSymlink;
    case NodeType::kCharDevice:
      return FactType::kCharDevice;
    case NodeType::kBlockDevice:
      return FactType::kBlockDevice;
    case NodeType::kFifo:
      return FactType::kFifo;
    case NodeType::kWhiteout:
      return FactType::kWhiteout;
    case NodeType::kFile:
    case NodeType::kPendingLink:
      break;
  }
  return FactType::kFile;
}

bool Comparer::may_be_missing(const ExpectedNode& node) const {
  const NodeType type = node.type();
  return policies_.devices == DeviceMode::kSkip &&
         (type == NodeType::kCharDevice || type == NodeType::kBlockDevice);
}

FactXattrs Comparer::stored_xattrs(const Inode& inode) const {
  FactXattrs stored;
  for (const auto& [name, value] : inode.xattrs) {
    if (name == "SCHILY.acl.access" || name == "SCHILY.acl.default") {
      auto acl = encode_posix_acl(value, {});
      if (!acl.ok()) continue;  // no unpack would have passed it
      stored.emplace_back(
          name == "SCHILY.acl.access" ? kAccessAcl : std::string_view("system.posix_acl_default"),
          std::move(acl).value());
      continue;
    }
    StoredXattr xattr = stored_xattr(policies_, name);
    if (!xattr.name.empty()) stored.emplace_back(std::move(xattr.name), value);
  }
  std::sort(stored.begin(), stored.end());
  return stored;
}

EntryFacts Comparer::expected(const ExpectedNode& node) const {
  const Inode& inode = node.inode();
  EntryFacts facts;
  facts.type = type(node);
  if (facts.type == FactType::kWhiteout) return facts;
  facts.mode = inode.type == NodeType::kSymlink ? 0777 : inode.mode;
  facts.uid = inode.uid;
  facts.gid = inode.gid;
  const auto owner = stored_owner(policies_, {0, inode.uid, inode.gid, {}, {}}, {});
  if (owner.ok() && owner.value()) {
    facts.uid = owner.value()->uid;
    facts.gid = owner.value()->gid;
  }
  facts.mtime = inode.mtime;
  facts.size = inode.type == NodeType::kFile ? inode.size : 0;
  facts.target = inode.target;
  facts.dev_major = inode.dev_major;
  facts.dev_minor = inode.dev_minor;
  facts.xattrs = stored_xattrs(inode);
  if (inode.type == NodeType::kFile && inode.checksum != nullptr) facts.crc32c = *inode.checksum;
  facts.implicit = inode.type == NodeType::kDirectory && node.implicit();
  facts.copied_up = inode.copied_up;
  facts.opaque = facts.type == FactType::kDirectory && tree_.opaque(node);
  if (facts.opaque && !overlay_.prefix.empty()) {
    facts.xattrs.emplace_back(overlay_.prefix + "opaque", "y");
    std::sort(facts.xattrs.begin(), facts.xattrs.end());
  }
  return facts;
}

std::vector<std::string> Comparer::compare(const ExpectedNode& node, const DiskEntry& entry,
                                           bool xattr_whiteouts) const {
  std::vector<std::string> fields;
  const EntryFacts& found = entry.facts;
  const Inode& inode = node.inode();
  // What else a whiteout carries is nobody's business.
  if (found.type == FactType::kWhiteout) return fields;
  if (found.type != FactType::kSymlink && found.mode != inode.mode) {
    const FactXattrs stored = stored_xattrs(inode);
    const std::string* acl = find(stored, kAccessAcl);
    if (acl == nullptr || found.mode != mode_by_acl(*acl, inode.mode)) fields.push_back("mode");
  }
  const auto owner = stored_owner(policies_, {0, inode.uid, inode.gid, {}, {}}, {});
  if (owner.ok() && owner.value() &&
      (found.uid != owner.value()->uid || found.gid != owner.value()->gid)) {
    fields.push_back("owner");
  }
  if (!same_time(inode.mtime, entry)) fields.push_back("mtime");
  switch (found.type) {
    case FactType::kFile:
      if (found.size != inode.size) fields.push_back("size");
      break;
    case FactType::kSymlink:
      if (found.target != inode.target) fields.push_back("target");
      break;
    case FactType::kCharDevice:
    case FactType::kBlockDevice:
      if (found.dev_major != inode.dev_major || found.dev_minor != inode.dev_minor) {
        fields.push_back("device");
      }
      break;
    default:
      break;
  }
  compare_xattrs(node, found, xattr_whiteouts, &fields);
  if (format_ == Format::kAufs && found.type == FactType::kDirectory &&
      found.opaque != tree_.opaque(node)) {
    fields.push_back("opaque");
  }
  return fields;
}

void Comparer::compare_xattrs(const ExpectedNode& node, const EntryFacts& found,
                              bool xattr_whiteouts, std::vector<std::string>* fields) const {
  FactXattrs expected = stored_xattrs(node.inode());
  if (found.type == FactType::kDirectory && !overlay_.prefix.empty()) {
    // The kernel looks for whiteouts by xattr only in a directory marked "x" (Linux 6.8).
    if (tree_.opaque(node)) {
      expected.emplace_back(overlay_.prefix + "opaque", "y");
    } else if (xattr_whiteouts) {
      expected.emplace_back(overlay_.prefix + "opaque", "x");
    }
  }
  if (expected.empty() && found.xattrs.empty()) return;
  for (const auto& [name, value] : expected) {
    const std::string* own = find(found.xattrs, name);
    const bool same =
        own != nullptr && (*own == value || (name == kAccessAcl && same_acl(*own, value)) ||
                           (name == kCapability && same_capability(*own, value)));
    const bool lacks = own == nullptr && may_lack_xattr(node, name, value);
    if (!same && !lacks) fields->push_back("xattr:" + name);
  }
  for (const auto& [name, value] : found.xattrs) {
    if (find(expected, name) == nullptr && !is_label(name)) fields->push_back("xattr:" + name);
  }
}

bool Comparer::may_lack_xattr(const ExpectedNode& node, const std::string& name,
                              const std::string& value) const {
  if (!overlay_.prefix.empty() && name == overlay_.prefix + "opaque") return false;
  if (policies_.xattrs == XattrMode::kBestEffort) return true;
  const NodeType type = node.type();
  // xattr(7): user.* exists on files and directories alone.
  if (type != NodeType::kFile && type != NodeType::kDirectory && name.starts_with("user.")) {
    return true;
  }
  // An ACL that says no more than the mode is not kept.
  return name == kAccessAcl && is_minimal_acl(value);
}

}  // namespace ociunpack
