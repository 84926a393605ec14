// What the file system and the kernel's file calls can do.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string_view>

#include "base/unique_fd.h"
#include "host/probe_scratch.h"

namespace ociunpack {
namespace {

// linux/magic.h and statfs(2); empty for others.
std::string file_system_name(unsigned long magic) {
  static constexpr std::pair<unsigned long, const char*> kNames[] = {
      {TMPFS_MAGIC, "tmpfs"},       {EXT4_SUPER_MAGIC, "ext4"}, {XFS_SUPER_MAGIC, "xfs"},
      {BTRFS_SUPER_MAGIC, "btrfs"}, {F2FS_SUPER_MAGIC, "f2fs"}, {OVERLAYFS_SUPER_MAGIC, "overlay"},
      {NFS_SUPER_MAGIC, "nfs"},     {FUSE_SUPER_MAGIC, "fuse"}, {V9FS_MAGIC, "9p"},
      {RAMFS_MAGIC, "ramfs"},       {0x2fc12fc1, "zfs"},        {0xca451a4e, "bcachefs"},
  };
  for (const auto& [known, name] : kNames) {
    if (known == magic) return name;
  }
  return {};
}

void kernel(ProbeScratch& scratch) {
  utsname name{};
  ::uname(&name);
  scratch.add("kernel", "ok", name.release, std::string("uname: ") + name.machine);
}

void file_system(ProbeScratch& scratch) {
  struct statfs status {};
  if (::statfs(scratch.directory().c_str(), &status) != 0) {
    scratch.add_not_tested("file-system", "statfs: " + errno_name(errno));
    return;
  }
  const auto magic = static_cast<unsigned long>(status.f_type) & 0xffffffff;
  char hex[32];
  std::snprintf(hex, sizeof hex, "0x%lx", magic);
  const std::string name = file_system_name(magic);
  scratch.add("file-system", magic == OVERLAYFS_SUPER_MAGIC ? "warn" : "ok",
              name.empty() ? hex : name, std::string("statfs: ") + hex);
}

// Of a name in the scratch directory, as readdir(3) tells it.
int listed_type(DIR* listing, const char* name) {
  ::rewinddir(listing);
  while (const dirent* entry = ::readdir(listing)) {
    if (std::string_view(entry->d_name) == name) return entry->d_type;
  }
  return -1;
}

// overlayfs.rst, "Upper and Lower": the types in listings are what whiteouts are told apart by.
void directory_types(ProbeScratch& scratch) {
  scratch.make({"types", "types/directory"});
  const UniqueFd file(
      ::open(scratch.at("types/file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const bool linked = ::symlink("file", scratch.at("types/symlink").c_str()) == 0;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(scratch.at("types").c_str()),
                                                    ::closedir);
  if (!listing) {
    scratch.add_not_tested("d-type", "opendir: " + errno_name(errno));
    return;
  }
  const bool told = listed_type(listing.get(), "directory") == DT_DIR &&
                    listed_type(listing.get(), "file") == DT_REG &&
                    (!linked || listed_type(listing.get(), "symlink") == DT_LNK);
  scratch.add("d-type", told ? "ok" : "fail", told ? "yes" : "no",
              told ? "readdir: d_type is what was made" : "readdir: d_type is not what was made");
}

void openat2_call(ProbeScratch& scratch) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  const UniqueFd root(::open(scratch.directory().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root.get(), "/", &how, sizeof how)));
  scratch.add_errno("openat2", "warn", "openat2(RESOLVE_IN_ROOT)", fd.valid() ? 0 : errno);
}

void node(ProbeScratch& scratch, const char* id, dev_t device) {
  const bool made = ::mknod(scratch.at(id).c_str(), S_IFCHR, device) == 0;
  const int error = made ? 0 : errno;
  const std::string call =
      "mknod(" + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + ")";
  struct stat status {};
  if (made && (::lstat(scratch.at(id).c_str(), &status) != 0 || !S_ISCHR(status.st_mode) ||
               status.st_rdev != device)) {
    scratch.add(id, "warn", "no", call + ": made, and is something else when it is looked at");
    return;
  }
  scratch.add_errno(id, "warn", call, error);
}

void owner(ProbeScratch& scratch) {
  const UniqueFd fd(::open(scratch.at("owner").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const auto add = [&](const char* call, int error) {
    scratch.add_errno("chown", "warn", call, error);
  };
  if (::fchown(fd.get(), 1, 1) != 0) return add("fchown(1:1)", errno);
  // Of what belongs to another the mode is set as well: CAP_FOWNER, and CAP_FSETID for its set-gid
  // bit.
  if (::fchmod(fd.get(), S_ISGID | 0700) != 0) return add("fchmod(a file of 1:1)", errno);
  struct stat status {};
  const bool kept = ::fstat(fd.get(), &status) == 0 && (status.st_mode & S_ISGID) != 0;
  add(kept ? "fchown(1:1)" : "fchmod(a file of 1:1) drops the set-gid bit", kept ? 0 : EPERM);
}

void reflink(ProbeScratch& scratch) {
  const UniqueFd from(::open(scratch.at("from").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  const UniqueFd to(::open(scratch.at("to").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  (void)!::write(from.get(), "x", 1);
  const bool cloned = ::ioctl(to.get(), FICLONE, from.get()) == 0;
  scratch.add_errno("reflink", "ok", "ioctl(FICLONE)", cloned ? 0 : errno);
}

}  // namespace

void probe_files(ProbeScratch& scratch) {
  kernel(scratch);
  file_system(scratch);
  directory_types(scratch);
  openat2_call(scratch);
  node(scratch, "whiteout-device", makedev(0, 0));
  node(scratch, "device-nodes", makedev(1, 3));  // as /dev/null
  owner(scratch);
  reflink(scratch);
}

}  // namespace ociunpack
