#include "host/probes.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/unique_fd.h"
#include "host/mount.h"

namespace ociunpack {
namespace {

namespace fs = std::filesystem;

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

class Prober {
 public:
  explicit Prober(std::string scratch) : scratch_(std::move(scratch)) {}

  std::vector<Probe> run() {
    kernel();
    file_system();
    openat2_call();
    node("whiteout-device", makedev(0, 0));
    xattr_whiteout();
    node("device-nodes", makedev(1, 3));  // as /dev/null
    owner();
    xattr("xattr-trusted", "trusted.oci-unpack", "y");
    xattr("xattr-user", "user.oci-unpack", "y");
    // vfs_cap_data, revision 2 (linux/capability.h): no capabilities at all.
    xattr("xattr-capability", "security.capability",
          std::string("\0\0\0\2", 4) + std::string(16, '\0'));
    reflink();
    overlay("overlay-mount", /*userxattr=*/false);
    overlay("overlay-userxattr", /*userxattr=*/true);
    opaque_copy_up();
    return std::move(probes_);
  }

 private:
  std::string at(const char* name) const { return scratch_ + "/" + name; }

  void add(const char* id, const char* status, std::string value, std::string evidence) {
    probes_.push_back({id, status, std::move(value), std::move(evidence)});
  }

  void add_errno(const char* id, const char* status, const std::string& call, int error) {
    add(id, status, error == 0 ? "yes" : "no", call + (error == 0 ? "" : ": " + errno_name(error)));
  }

  void kernel() {
    utsname name{};
    ::uname(&name);
    add("kernel", "ok", name.release, std::string("uname: ") + name.machine);
  }

  void openat2_call() {
    open_how how{};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT;
    const UniqueFd root(::open(scratch_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root.get(), "/", &how, sizeof how)));
    add_errno("openat2", fd.valid() ? "ok" : "warn", "openat2(RESOLVE_IN_ROOT)",
              fd.valid() ? 0 : errno);
  }

  void file_system() {
    struct statfs status {};
    if (::statfs(scratch_.c_str(), &status) != 0) {
      add("file-system", "unknown", "not tested", "statfs: " + errno_name(errno));
      return;
    }
    const auto magic = static_cast<unsigned long>(status.f_type) & 0xffffffff;
    char hex[32];
    std::snprintf(hex, sizeof hex, "0x%lx", magic);
    const std::string name = file_system_name(magic);
    add("file-system", magic == OVERLAYFS_SUPER_MAGIC ? "warn" : "ok", name.empty() ? hex : name,
        std::string("statfs: ") + hex);
  }

  void node(const char* id, dev_t device) {
    const bool made = ::mknod(at(id).c_str(), S_IFCHR, device) == 0;
    const int error = errno;
    add_errno(id, made ? "ok" : "warn",
              "mknod(" + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + ")",
              made ? 0 : error);
  }

  // overlayfs.rst: the whiteout of those who may not make the device; since Linux 6.8.
  void xattr_whiteout() {
    make({"xw/low", "xw/top", "xw/merged"});
    const UniqueFd low(::open(at("xw/low/gone").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    const UniqueFd top(::open(at("xw/top/gone").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    const bool marked = ::fsetxattr(top.get(), "user.overlay.whiteout", "y", 1, 0) == 0 &&
                        ::setxattr(at("xw/top").c_str(), "user.overlay.opaque", "x", 1, 0) == 0;
    if (!marked) {
      add("xattr-whiteout", "warn", "no", "setxattr(user.overlay.whiteout): " + errno_name(errno));
      return;
    }
    OverlayMount mount;
    mount.lowers = {at("xw/top"), at("xw/low")};
    mount.target = at("xw/merged");
    mount.userxattr = true;
    if (const Status status = mount_overlay(mount); !status.ok()) {
      add("xattr-whiteout", "unknown", "not tested", status.error().message());
      return;
    }
    const bool hidden = ::access(at("xw/merged/gone").c_str(), F_OK) != 0 && errno == ENOENT;
    (void)unmount(mount.target, true);
    add("xattr-whiteout", hidden ? "ok" : "warn", hidden ? "yes" : "no",
        hidden ? "overlayfs hides what it marks" : "overlayfs shows it as a file");
  }

  void owner() {
    const UniqueFd fd(::open(at("owner").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    const bool changed = ::fchown(fd.get(), 1, 1) == 0;
    add_errno("chown", changed ? "ok" : "warn", "fchown(1:1)", changed ? 0 : errno);
  }

  void xattr(const char* id, const char* name, const std::string& value) {
    const UniqueFd fd(::open(at(id).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    const bool set = ::fsetxattr(fd.get(), name, value.data(), value.size(), 0) == 0;
    add_errno(id, set ? "ok" : "warn", std::string("fsetxattr(") + name + ")", set ? 0 : errno);
  }

  void reflink() {
    const UniqueFd from(::open(at("from").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    const UniqueFd to(::open(at("to").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    (void)!::write(from.get(), "x", 1);
    const bool cloned = ::ioctl(to.get(), FICLONE, from.get()) == 0;
    add_errno("reflink", "ok", "ioctl(FICLONE)", cloned ? 0 : errno);
  }

  void make(std::initializer_list<const char*> names) const {
    std::error_code ignored;
    for (const char* name : names) fs::create_directories(at(name), ignored);
  }

  void overlay(const char* id, bool userxattr) {
    make({"a", "b", "merged"});
    OverlayMount mount;
    mount.lowers = {at("a"), at("b")};
    mount.target = at("merged");
    mount.userxattr = userxattr;
    report_mount(id, mount_overlay(mount));
    (void)unmount(mount.target, true);
  }

  void report_mount(const char* id, const Status& status) {
    add(id, status.ok() ? "ok" : "warn", status.ok() ? "yes" : "no",
        status.ok() ? "mount(overlay)" : status.error().message());
  }

  // As moby's probe: in l2:l1, where l2/d is opaque, the new file d/f makes a directory d in upper.
  // Kernels before Linux 4.8 (0956254a2d5b) copy the opaque mark of l2/d to it.
  void opaque_copy_up() {
    make({"l1/d", "l2/d", "upper", "work", "merged"});
    if (::setxattr(at("l2/d").c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
      add("opaque-copy-up-bug", "unknown", "not tested", "setxattr: " + errno_name(errno));
      return;
    }
    OverlayMount mount;
    mount.lowers = {at("l2"), at("l1")};
    mount.upper = at("upper");
    mount.work = at("work");
    mount.target = at("merged");
    if (const Status status = mount_overlay(mount); !status.ok()) {
      add("opaque-copy-up-bug", "unknown", "not tested", status.error().message());
      return;
    }
    const UniqueFd file(::open(at("merged/d/f").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    const int error = file.valid() ? 0 : errno;
    (void)unmount(mount.target, true);
    if (error != 0) {
      add("opaque-copy-up-bug", "unknown", "not tested", "open: " + errno_name(error));
      return;
    }
    char value = 0;
    const bool copied =
        ::getxattr(at("upper/d").c_str(), "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
    add("opaque-copy-up-bug", copied ? "fail" : "ok", copied ? "yes" : "no",
        copied ? "the new upper directory got the opaque mark of the lower one"
               : "the new upper directory has no opaque mark");
  }

  const std::string scratch_;
  std::vector<Probe> probes_;
};

}  // namespace

Result<std::vector<Probe>> probe_host(const std::string& directory) {
  std::string scratch = directory + "/.oci-unpack-probe-XXXXXX";
  if (::mkdtemp(scratch.data()) == nullptr) return system_error(errno, "mkdtemp", directory);
  std::vector<Probe> probes = Prober(scratch).run();
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  return probes;
}

}  // namespace ociunpack
