#include "apply/directory.h"

#include <algorithm>
#include <set>
#include <string>

#include "apply/metadata.h"
#include "apply/name.h"
#include "apply/set_mode.h"
#include "apply/whiteout.h"
#include "base/sys.h"

namespace ociunpack {
namespace {

Status set_all(const ApplyContext& context, const DirHandle& own, const Attributes& attributes,
               bool owner, bool mode) {
  const Subject subject{own, {}, own.fd.get()};
  // chown(2) clears set-id bits, and a POSIX ACL sets permission bits: before chmod(2).
  if (owner) OCIUNPACK_TRY(set_owner(context, subject, attributes));
  if (!attributes.xattrs.empty()) OCIUNPACK_TRY(set_xattrs(context, subject, attributes.xattrs));
  if (mode) OCIUNPACK_TRY(set_mode(own.fd.get(), attributes.mode, own.path));
  return set_times(context, subject, attributes.mtime);
}

bool is_default_acl(const Xattr& xattr) {
  return xattr.first == "SCHILY.acl.default" || xattr.first == "system.posix_acl_default";
}

Status remove_other_xattrs(const ApplyContext& context, const DirHandle& own,
                           const Attributes& attributes) {
  std::set<std::string> kept{"security.selinux"};  // no hash: the names are the layer's
  for (const auto& [name, value] : attributes.xattrs) {
    if (name == "SCHILY.acl.access") kept.insert("system.posix_acl_access");
    if (name == "SCHILY.acl.default") kept.insert("system.posix_acl_default");
    OCIUNPACK_ASSIGN(const std::string stored, stored_xattr_name(context, name, own.path));
    if (!stored.empty()) kept.insert(stored);
  }
  std::string names(65536, '\0');  // XATTR_LIST_MAX, the kernel's bound
  const ssize_t length = ::flistxattr(own.fd.get(), names.data(), names.size());
  if (length < 0) return errno == ENOTSUP ? Status() : system_error(errno, "flistxattr", own.path);
  for (size_t at = 0; at < static_cast<size_t>(length);) {
    const std::string name(names.c_str() + at);
    at += name.size() + 1;
    if (kept.contains(name)) continue;
    if (::fremovexattr(own.fd.get(), name.c_str()) != 0 && errno != ENODATA && errno != EPERM) {
      return system_error(errno, "fremovexattr", own.path, name);
    }
  }
  return {};
}

}  // namespace

Result<DirRef> make_directory(const ApplyContext& context, const DirHandle& parent,
                              std::string_view name) {
  const CName c_name(name);
  if (sys::mkdirat(parent.fd.get(), c_name.c_str(), kCreatedDirectoryMode) != 0) {
    return system_error(errno, "mkdirat", path_in(parent, name));
  }
  UniqueFd fd(sys::openat(parent.fd.get(), c_name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (!fd.valid()) return system_error(errno, "openat", path_in(parent, name));
  auto made = std::make_shared<const DirHandle>(DirHandle{std::move(fd), path_in(parent, name)});
  if (!context.umask_private && sys::fchmod(made->fd.get(), kCreatedDirectoryMode) != 0) {
    return system_error(errno, "fchmod", made->path);
  }
  OCIUNPACK_TRY(ensure_not_opaque(*made));
  return made;
}

Status finish_directory(const ApplyContext& context, const DirHandle& own,
                        const Attributes& attributes) {
  return set_all(context, own, attributes,
                 owner_differs(context, attributes, context.euid, context.egid),
                 attributes.mode != kCreatedDirectoryMode || !attributes.xattrs.empty());
}

Status replace_metadata(const ApplyContext& context, const DirHandle& own,
                        const Attributes& attributes) {
  OCIUNPACK_TRY(remove_other_xattrs(context, own, attributes));
  struct stat status {};
  if (::fstat(own.fd.get(), &status) != 0) return system_error(errno, "fstat", own.path);
  return set_all(context, own, attributes,
                 owner_differs(context, attributes, status.st_uid, status.st_gid), true);
}

bool hands_down(const Attributes& attributes) {
  return (attributes.mode & S_ISGID) != 0 ||
         std::any_of(attributes.xattrs.begin(), attributes.xattrs.end(), is_default_acl);
}

Status pause_inheritance(const DirHandle& own, const Attributes& attributes) {
  if (::fremovexattr(own.fd.get(), "system.posix_acl_default") != 0 && errno != ENODATA &&
      errno != ENOTSUP) {
    return system_error(errno, "fremovexattr", own.path, "system.posix_acl_default");
  }
  if (sys::fchmod(own.fd.get(), attributes.mode & ~static_cast<mode_t>(S_ISGID)) != 0) {
    return system_error(errno, "fchmod", own.path);
  }
  return {};
}

Status resume_inheritance(const ApplyContext& context, const DirHandle& own,
                          const Attributes& attributes) {
  const Subject subject{own, {}, own.fd.get()};
  for (const Xattr& xattr : attributes.xattrs) {
    if (is_default_acl(xattr)) OCIUNPACK_TRY(set_xattrs(context, subject, {&xattr, 1}));
  }
  OCIUNPACK_TRY(set_mode(own.fd.get(), attributes.mode, own.path));
  return set_times(context, subject, attributes.mtime);
}

Status restore_times(const ApplyContext& context, const DirHandle& own, Timestamp mtime) {
  return set_times(context, Subject{own, {}, own.fd.get()}, mtime);
}

}  // namespace ociunpack
