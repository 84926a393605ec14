#include "audit/disk_entry.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/xattrs.h"

namespace ociunpack {
namespace {

FactType fact_type(uint32_t mode, uint32_t major, uint32_t minor) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return FactType::kDirectory;
    case S_IFLNK:
      return FactType::kSymlink;
    case S_IFCHR:
      return major == 0 && minor == 0 ? FactType::kWhiteout : FactType::kCharDevice;
    case S_IFBLK:
      return FactType::kBlockDevice;
    case S_IFIFO:
      return FactType::kFifo;
    case S_IFSOCK:
      return FactType::kSocket;
    default:
      return FactType::kFile;
  }
}

// What the kernel puts on directories and files of an upper layer when it is mounted, and what says
// nothing about what is in it (Documentation/filesystems/overlayfs.rst, fs/overlayfs/overlayfs.h).
bool is_kernels_own(std::string_view name) {
  for (const std::string_view prefix : {"trusted.overlay.", "user.overlay."}) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view rest = name.substr(prefix.size());
    return rest == "origin" || rest == "impure" || rest == "nlink" || rest == "upper" ||
           rest == "uuid";
  }
  return false;
}

// Others belong to the file system or to the host, like security.selinux, which is never applied.
bool counts(std::string_view name) {
  if (name == "security.selinux" || is_kernels_own(name)) return false;
  return name.starts_with("user.") || name.starts_with("trusted.") ||
         name.starts_with("security.") || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

}  // namespace

int read_status(int fd, const char* name, DiskEntry* entry) {
  struct statx status {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  if (::statx(fd, name, flags, STATX_BASIC_STATS | STATX_BTIME, &status) != 0) return errno;
  EntryFacts& facts = entry->facts;
  facts.type = fact_type(status.stx_mode, status.stx_rdev_major, status.stx_rdev_minor);
  facts.mode = status.stx_mode & 07777;
  facts.uid = status.stx_uid;
  facts.gid = status.stx_gid;
  facts.mtime = {status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec};
  facts.size = facts.type == FactType::kFile ? status.stx_size : 0;
  facts.dev_major = status.stx_rdev_major;
  facts.dev_minor = status.stx_rdev_minor;
  entry->device = ::makedev(status.stx_dev_major, status.stx_dev_minor);
  entry->inode = status.stx_ino;
  entry->links = status.stx_nlink;
  entry->blocks = status.stx_blocks;
  entry->mount_point = (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  // ext4 with small inodes has neither a time of birth nor fractions of seconds.
  entry->fine_times = (status.stx_mask & STATX_BTIME) != 0 || status.stx_mtime.tv_nsec != 0;
  return 0;
}

int read_target(int directory, const char* name, EntryFacts* facts) {
  char target[4096];  // PATH_MAX, symlink(2)'s limit
  const ssize_t length = ::readlinkat(directory, name, target, sizeof target);
  if (length < 0) return errno;
  facts->target.assign(target, static_cast<size_t>(length));
  return 0;
}

int read_xattrs(int fd, const char* name, const Namespace& overlay, EntryFacts* facts) {
  const Status read =
      for_each_xattr(fd, name, {}, counts, [facts](const char* xattr, std::string_view value) {
        facts->xattrs.emplace_back(xattr, value);
        return Status();
      });
  if (!read.ok()) return read.error().error_number;
  std::sort(facts->xattrs.begin(), facts->xattrs.end());
  if (facts->type != FactType::kFile || facts->size != 0 || overlay.prefix.empty()) return 0;
  for (const auto& [xattr, unused] : facts->xattrs) {
    if (xattr == overlay.prefix + "whiteout") facts->type = FactType::kWhiteout;
  }
  return 0;
}

}  // namespace ociunpack
