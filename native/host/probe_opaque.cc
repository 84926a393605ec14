// The kernel bug that hides files: in a mount of several lower directories, a directory that is new
// in upper got the opaque mark of the lower one of that name (Linux before 4.8, fixed by
// 0956254a2d5b), and so hid what lies below it.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "host/mount.h"
#include "host/probe_scratch.h"

namespace ociunpack {

Probe judge_upper_directory(const std::string& directory, const char* xattr) {
  Probe probe{"opaque-copy-up-bug", "unknown", "not tested", {}};
  struct stat status {};
  if (::lstat(directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    probe.evidence = "the file made through the mount left no directory in upper";
    return probe;
  }
  char value[8];
  const ssize_t length = ::getxattr(directory.c_str(), xattr, value, sizeof value);
  if (length < 0 && errno != ENODATA) {
    probe.evidence = std::string("getxattr(") + xattr + "): " + errno_name(errno);
    return probe;
  }
  const bool copied = length == 1 && value[0] == 'y';
  probe.status = copied ? "fail" : "ok";
  probe.value = copied ? "yes" : "no";
  probe.evidence = std::string(copied ? "the new directory in upper has " : "no ") + xattr +
                   (copied ? ", copied from the lower one" : " on the new directory in upper");
  return probe;
}

// As moby's probe: in l2:l1, where l2/d is opaque, the new file d/f makes a directory d in upper.
void probe_opaque_copy_up(ProbeScratch& scratch) {
  scratch.make({"l1/d", "l2/d", "upper", "work", "opaque"});
  const std::string lower = scratch.at("l2/d");
  OverlayMount mount;
  const char* xattr = "trusted.overlay.opaque";
  if (::setxattr(lower.c_str(), xattr, "y", 1, 0) != 0) {
    // In a user namespace: the same copying, by the other name.
    xattr = "user.overlay.opaque";
    mount.userxattr = true;
    if (::setxattr(lower.c_str(), xattr, "y", 1, 0) != 0) {
      scratch.add_not_tested("opaque-copy-up-bug",
                             std::string("setxattr(") + xattr + "): " + errno_name(errno));
      return;
    }
  }
  mount.lowers = {scratch.at("l2"), scratch.at("l1")};
  mount.upper = scratch.at("upper");
  mount.work = scratch.at("work");
  mount.target = scratch.at("opaque");
  if (const Status status = mount_overlay(mount); !status.ok()) {
    scratch.add_not_tested("opaque-copy-up-bug", status.error().message());
    return;
  }
  const UniqueFd file(
      ::open(scratch.at("opaque/d/f").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const int error = file.valid() ? 0 : errno;
  (void)unmount(mount.target, true);
  if (error != 0) {
    scratch.add_not_tested("opaque-copy-up-bug", "open: " + errno_name(error));
    return;
  }
  Probe probe = judge_upper_directory(scratch.at("upper/d"), xattr);
  scratch.add(probe.id.c_str(), probe.status.c_str(), std::move(probe.value),
              std::move(probe.evidence));
}

}  // namespace ociunpack
