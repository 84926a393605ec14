#include "apply/metadata.h"

#include <cerrno>
#include <optional>

#include "apply/name.h"
#include "apply/posix_acl.h"
#include "base/sys.h"
#include "base/xattrs.h"

namespace ociunpack {
namespace {

// Every file system stores the times between; beyond, some clamp without a word (ext4 with 128-byte
// inodes ends in 2038, ext4 with larger ones in 2446, xfs without bigtime in 2038).
constexpr int64_t kSafeTimeMin = -INT64_C(0x80000000);
constexpr int64_t kSafeTimeMax = INT64_C(0x7FFFFFFF);

std::optional<uint32_t> map_id(const std::vector<IdMap>& map, uint32_t id) {
  for (const IdMap& range : map) {
    if (id >= range.container_id && id - range.container_id < range.size) {
      return range.host_id + (id - range.container_id);
    }
  }
  return std::nullopt;
}

std::string owner_text(const Attributes& attributes) {
  return std::to_string(attributes.uid) + ":" + std::to_string(attributes.gid);
}

int call_chown(const Subject& subject, uint32_t uid, uint32_t gid) {
  if (subject.fd >= 0) return sys::fchown(subject.fd, uid, gid);
  return sys::fchownat(subject.directory.fd.get(), CName(subject.name).c_str(), uid, gid);
}

int call_setxattr(const Subject& subject, const std::string& name, std::string_view value) {
  if (subject.fd >= 0) {
    return sys::fsetxattr(subject.fd, name.c_str(), value.data(), value.size());
  }
  // Symlinks, devices and fifos cannot be opened for it.
  const std::string path = magic_path(subject.directory.fd.get(), subject.name);
  return sys::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size());
}

bool is_overlay_xattr(std::string_view name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

Status xattr_failed(const ApplyContext& context, const Subject& subject, const std::string& name,
                    int error, bool subject_is_special) {
  const bool user_name = name.starts_with("user.");
  // xattr(7): user.* exists on files and directories alone.
  const bool never_possible = subject_is_special && user_name && error == EPERM;
  // A value or name that is none for this xattr, or too long (xattr(7), VFS limits).
  const bool invalid = error == EINVAL || error == E2BIG || error == ERANGE;
  const bool unsupported = error == ENOTSUP || invalid;
  if (!unsupported && error != EPERM && error != EACCES) {
    return system_error(error, "setxattr", subject.path(), name);
  }
  if (never_possible || context.policies.xattrs == XattrMode::kBestEffort) {
    context.notes->add({"xattr-failed", subject.path(), name + ": " + errno_name(error)});
    return {};
  }
  Error failed = system_error(error, "setxattr", subject.path(),
                              name +
                                  (invalid       ? " has a name or value that the kernel refuses"
                                   : unsupported ? " is not supported by this file system"
                                                 : " needs more privileges") +
                                  "; xattrs: 'best-effort' goes on without it");
  if (unsupported) failed.code = Code::ERR_XATTR_UNSUPPORTED;
  return failed;
}

std::string time_text(int64_t seconds, uint32_t nanoseconds) {
  std::string text = std::to_string(seconds) + " s";
  if (nanoseconds != 0) text += " and " + std::to_string(nanoseconds) + " ns";
  return text;
}

}  // namespace

bool owner_differs(const ApplyContext& context, const Attributes& attributes, uint32_t uid,
                   uint32_t gid) {
  if (context.policies.ownership == Ownership::kMap) return true;
  return attributes.uid != uid || attributes.gid != gid;
}

Result<std::optional<Owner>> stored_owner(const Policies& policies, const Attributes& attributes,
                                          const std::string& path) {
  switch (policies.ownership) {
    case Ownership::kIgnore:
      return std::optional<Owner>();
    case Ownership::kApply:
      break;
    case Ownership::kMap: {
      const auto uid = map_id(policies.uid_map, attributes.uid);
      const auto gid = map_id(policies.gid_map, attributes.gid);
      if (!uid || !gid) {
        return input_error(
            Code::ERR_OWNERSHIP, "chown", path,
            owner_text(attributes) + " is in no range of the " + (uid ? "gid" : "uid") + " map");
      }
      return std::optional(Owner{*uid, *gid});
    }
  }
  return std::optional(Owner{attributes.uid, attributes.gid});
}

Status set_owner(const ApplyContext& context, const Subject& subject,
                 const Attributes& attributes) {
  OCIUNPACK_ASSIGN(const auto owner, stored_owner(context.policies, attributes, subject.path()));
  if (!owner) {
    context.notes->add({"ownership-ignored", subject.path(), owner_text(attributes)});
    return {};
  }
  const auto [uid, gid] = *owner;
  const bool mapped = context.policies.ownership == Ownership::kMap;
  if (mapped && uid == context.euid && gid == context.egid) return {};
  if (call_chown(subject, uid, gid) == 0) return {};
  const int error = errno;
  if (error != EPERM && error != EINVAL) {
    return system_error(error, "chown", subject.path(),
                        std::to_string(uid) + ":" + std::to_string(gid));
  }
  Error failed = system_error(error, "chown", subject.path(),
                              std::to_string(uid) + ":" + std::to_string(gid) +
                                  " is not permitted here; ownership: 'map' with id maps, or "
                                  "ownership: 'ignore'");
  failed.code = Code::ERR_OWNERSHIP;
  return failed;
}

StoredXattr stored_xattr(const Policies& policies, std::string_view name) {
  using Fate = StoredXattr::Fate;
  // Labels and ACLs of the host that packed the layer mean nothing on this one.
  if (name == "security.selinux" || name == "system.nfs4_acl") return {Fate::kDropped, {}};
  if (!is_overlay_xattr(name)) return {Fate::kKept, std::string(name)};
  if (policies.overlay_xattrs == OverlayXattrs::kStrip) return {Fate::kDropped, {}};
  if (policies.overlay_xattrs == OverlayXattrs::kError) return {Fate::kRefused, {}};
  // overlayfs.rst, "Nesting overlayfs mounts": one `overlay.` more than the mount itself reads.
  const size_t prefix = name.find("overlay.") + std::string_view("overlay.").size();
  std::string escaped(name.substr(0, prefix));
  escaped.append("overlay.").append(name.substr(prefix));
  return {Fate::kEscaped, std::move(escaped)};
}

Result<std::string> stored_xattr_name(const ApplyContext& context, std::string_view name,
                                      const std::string& path) {
  StoredXattr stored = stored_xattr(context.policies, name);
  switch (stored.fate) {
    case StoredXattr::Fate::kKept:
      break;
    case StoredXattr::Fate::kDropped:
      context.notes->add({"xattr-dropped", path, std::string(name)});
      break;
    case StoredXattr::Fate::kRefused:
      return input_error(
          Code::ERR_OVERLAY_XATTR, "xattr", path,
          std::string(name) +
              " would act on overlayfs itself (overlayXattrs: 'error'); use 'escape' "
              "or 'strip'");
    case StoredXattr::Fate::kEscaped:
      context.notes->add({"xattr-escaped", path, std::string(name) + " as " + stored.name});
      break;
  }
  return std::move(stored.name);
}

Status set_xattrs(const ApplyContext& context, const Subject& subject,
                  std::span<const Xattr> xattrs) {
  const bool special = subject.fd < 0;
  for (const auto& [name, value] : xattrs) {
    if (name == "SCHILY.acl.access" || name == "SCHILY.acl.default") {
      OCIUNPACK_ASSIGN(const std::string acl, encode_posix_acl(value, subject.path()));
      const std::string stored =
          name == "SCHILY.acl.access" ? "system.posix_acl_access" : "system.posix_acl_default";
      if (call_setxattr(subject, stored, acl) != 0) {
        OCIUNPACK_TRY(xattr_failed(context, subject, stored, errno, special));
      }
      continue;
    }
    OCIUNPACK_ASSIGN(const std::string stored, stored_xattr_name(context, name, subject.path()));
    if (stored.empty()) continue;
    if (call_setxattr(subject, stored, value) != 0) {
      OCIUNPACK_TRY(xattr_failed(context, subject, stored, errno, special));
    }
  }
  return {};
}

Status check_attributes(const ApplyContext& context, const std::string& path,
                        const Attributes& attributes) {
  OCIUNPACK_TRY(stored_owner(context.policies, attributes, path));
  for (const auto& [name, value] : attributes.xattrs) {
    if (name == "SCHILY.acl.access" || name == "SCHILY.acl.default") {
      OCIUNPACK_TRY(encode_posix_acl(value, path));
    } else {
      OCIUNPACK_TRY(stored_xattr_name(context, name, path));
    }
  }
  return {};
}

Status set_times(const ApplyContext& context, const Subject& subject, Timestamp mtime) {
  const auto set = [&subject](const timespec& time) {
    const timespec times[2] = {time, time};
    if (subject.fd >= 0) return sys::futimens(subject.fd, times);
    return sys::utimensat(subject.directory.fd.get(), CName(subject.name).c_str(), times);
  };
  timespec time{mtime.seconds, static_cast<long>(mtime.nanoseconds)};
  if (set(time) != 0) return system_error(errno, "utimensat", subject.path());
  if (mtime.seconds >= kSafeTimeMin && mtime.seconds <= kSafeTimeMax &&
      (context.fine_times || mtime.nanoseconds == 0)) [[likely]] {
    return {};
  }
  struct stat status {};
  const int result = subject.fd >= 0
                         ? ::fstat(subject.fd, &status)
                         : ::fstatat(subject.directory.fd.get(), CName(subject.name).c_str(),
                                     &status, AT_SYMLINK_NOFOLLOW);
  if (result != 0) return system_error(errno, "fstat", subject.path());
  if (status.st_mtim.tv_sec != mtime.seconds ||
      status.st_mtim.tv_nsec != static_cast<long>(mtime.nanoseconds)) {
    context.notes->add(
        {"time-clamped", subject.path(),
         time_text(mtime.seconds, mtime.nanoseconds) + " is stored as " +
             time_text(status.st_mtim.tv_sec, static_cast<uint32_t>(status.st_mtim.tv_nsec))});
  }
  return {};
}

}  // namespace ociunpack
