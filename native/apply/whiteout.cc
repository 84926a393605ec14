#include "apply/whiteout.h"

#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include <cstdio>
#include <string>

#include "apply/metadata.h"
#include "apply/name.h"
#include "apply/usage_count.h"
#include "base/sys.h"
#include "tree/aufs_names.h"

namespace ociunpack {
namespace {

constexpr const char* kOpaqueTrusted = "trusted.overlay.opaque";
constexpr const char* kOpaqueUser = "user.overlay.opaque";

bool uses_user_xattrs(const ApplyContext& context) {
  return context.format == Format::kOverlayUserxattr;
}

// Older kernels would show a whiteout by xattr as an empty file.
bool kernel_knows_xattr_whiteouts() {
  utsname system{};
  unsigned major = 0, minor = 0;
  if (::uname(&system) != 0) return false;
  if (std::sscanf(system.release, "%u.%u", &major, &minor) != 2) return false;
  return major > 6 || (major == 6 && minor >= 8);
}

// An empty file: aufs' markers, and overlayfs' whiteouts where devices are not permitted.
Result<UniqueFd> create_marker(const DirHandle& directory, const std::string& name) {
  UniqueFd fd(sys::openat(directory.fd.get(), name.c_str(),
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0444));
  if (!fd.valid()) return system_error(errno, "openat", path_in(directory, name));
  return fd;
}

// A marker has no time of its own; from the epoch, so that the result does not depend on the clock.
Status finish(const ApplyContext& context, const DirHandle& directory, const std::string& name) {
  const Subject subject{directory, name};
  OCIUNPACK_TRY(set_times(context, subject, {}));
  return count_usage(context, subject);
}

// overlayfs.rst, "whiteouts and opaque directories": a zero-size file with overlay.whiteout, in a
// directory whose overlay.opaque is "x" (Linux 6.8); "y", which is stronger, may stay.
Status write_xattr_whiteout(const ApplyContext& context, const DirHandle& directory,
                            std::string_view name) {
  OCIUNPACK_ASSIGN(UniqueFd fd, create_marker(directory, std::string(name)));
  const char* whiteout =
      uses_user_xattrs(context) ? "user.overlay.whiteout" : "trusted.overlay.whiteout";
  if (sys::fsetxattr(fd.get(), whiteout, "y", 1) != 0) {
    return system_error(errno, "fsetxattr", path_in(directory, name), whiteout);
  }
  const char* opaque = uses_user_xattrs(context) ? kOpaqueUser : kOpaqueTrusted;
  char value[2];
  const ssize_t length = ::fgetxattr(directory.fd.get(), opaque, value, sizeof value);
  if (length == 1 && (value[0] == 'y' || value[0] == 'x')) return {};
  if (sys::fsetxattr(directory.fd.get(), opaque, "x", 1) != 0) {
    return system_error(errno, "fsetxattr", directory.path, opaque);
  }
  return {};
}

}  // namespace

Status write_whiteout(const ApplyContext& context, const DirHandle& directory,
                      std::string_view name) {
  switch (context.format) {
    case Format::kAufs: {
      const std::string marker = std::string(kWhiteoutPrefix).append(name);
      OCIUNPACK_ASSIGN([[maybe_unused]] const UniqueFd fd, create_marker(directory, marker));
      return finish(context, directory, marker);
    }
    case Format::kFlat:
      return input_error(Code::ERR_INTERNAL, "whiteout", path_in(directory, name),
                         "a flat directory has no whiteouts");
    case Format::kOverlay:
    case Format::kOverlayUserxattr:
      break;
  }
  if (!context.lists_types) {
    // overlayfs hides only what a listing calls a character device.
    return input_error(Code::ERR_UNSUPPORTED, "whiteout", path_in(directory, name),
                       "the listings of this file system do not tell the types of files, by which "
                       "overlayfs knows a whiteout; an xfs needs ftype=1, an ext4 the feature "
                       "filetype; or use format 'flat'");
  }
  // mknod(2) of 0:0 is allowed to everybody since Linux 5.8 (fs/namei.c, is_whiteout).
  if (sys::mknodat(directory.fd.get(), CName(name).c_str(), S_IFCHR, makedev(0, 0)) != 0) {
    const int error = errno;
    if (error != EPERM) return system_error(error, "mknodat", path_in(directory, name), "whiteout");
    if (!kernel_knows_xattr_whiteouts()) {
      return system_error(
          error, "mknodat", path_in(directory, name),
          "whiteout: devices 0:0 are not permitted here, and only Linux 6.8 and later "
          "knows whiteouts without them; use format 'flat'");
    }
    OCIUNPACK_TRY(write_xattr_whiteout(context, directory, name));
  }
  return finish(context, directory, std::string(name));
}

Status mark_opaque(const ApplyContext& context, const DirHandle& directory) {
  switch (context.format) {
    case Format::kAufs: {
      const std::string marker(kOpaqueName);
      OCIUNPACK_ASSIGN([[maybe_unused]] const UniqueFd fd, create_marker(directory, marker));
      return finish(context, directory, marker);
    }
    case Format::kFlat:
      return {};
    case Format::kOverlay:
    case Format::kOverlayUserxattr:
      break;
  }
  const char* name = uses_user_xattrs(context) ? kOpaqueUser : kOpaqueTrusted;
  if (sys::fsetxattr(directory.fd.get(), name, "y", 1) == 0) return {};
  const int error = errno;
  Error failed = system_error(error, "fsetxattr", directory.path, name);
  if (error == ENOTSUP) {
    failed.code = Code::ERR_XATTR_UNSUPPORTED;
    failed.detail += ": this file system cannot hold overlayfs layers";
  } else if (error == EPERM) {
    failed.detail += ": needs CAP_SYS_ADMIN of the host; format 'overlay-userxattr' does not";
  }
  return failed;
}

Status ensure_not_opaque(const DirHandle& directory) {
  for (const char* name : {kOpaqueTrusted, kOpaqueUser}) {
    char value[16];
    if (::fgetxattr(directory.fd.get(), name, value, sizeof value) < 0) continue;  // not there
    if (::fremovexattr(directory.fd.get(), name) != 0) {
      return system_error(errno, "fremovexattr", directory.path, name);
    }
  }
  return {};
}

}  // namespace ociunpack
