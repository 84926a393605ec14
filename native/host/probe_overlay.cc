// overlayfs: whether it can be mounted, with which options, and which whiteouts it reads.
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "host/mount.h"
#include "host/probe_scratch.h"

namespace ociunpack {
namespace {

void mounts(ProbeScratch& scratch, const char* id, bool userxattr) {
  scratch.make({"a", "b", "merged"});
  OverlayMount mount;
  mount.lowers = {scratch.at("a"), scratch.at("b")};
  mount.target = scratch.at("merged");
  mount.userxattr = userxattr;
  const Status status = mount_overlay(mount);
  scratch.add(id, status.ok() ? "ok" : "warn", status.ok() ? "yes" : "no",
              status.ok() ? "mount(overlay)" : status.error().message());
  if (status.ok()) (void)unmount(mount.target, true);
}

// overlayfs.rst: the whiteout of those who may not make the device; since Linux 6.8.
void xattr_whiteout(ProbeScratch& scratch) {
  scratch.make({"xw/low", "xw/top", "xw/merged"});
  const UniqueFd low(
      ::open(scratch.at("xw/low/gone").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const UniqueFd top(
      ::open(scratch.at("xw/top/gone").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const bool marked =
      ::fsetxattr(top.get(), "user.overlay.whiteout", "y", 1, 0) == 0 &&
      ::setxattr(scratch.at("xw/top").c_str(), "user.overlay.opaque", "x", 1, 0) == 0;
  if (!marked) {
    scratch.add("xattr-whiteout", "warn", "no",
                "setxattr(user.overlay.whiteout): " + errno_name(errno));
    return;
  }
  OverlayMount mount;
  mount.lowers = {scratch.at("xw/top"), scratch.at("xw/low")};
  mount.target = scratch.at("xw/merged");
  mount.userxattr = true;
  if (const Status status = mount_overlay(mount); !status.ok()) {
    scratch.add_not_tested("xattr-whiteout", status.error().message());
    return;
  }
  const bool hidden = ::access(scratch.at("xw/merged/gone").c_str(), F_OK) != 0 && errno == ENOENT;
  (void)unmount(mount.target, true);
  scratch.add("xattr-whiteout", hidden ? "ok" : "warn", hidden ? "yes" : "no",
              hidden ? "overlayfs hides what it marks" : "overlayfs shows it as a file");
}

}  // namespace

void probe_overlay(ProbeScratch& scratch) {
  xattr_whiteout(scratch);
  mounts(scratch, "overlay-mount", /*userxattr=*/false);
  mounts(scratch, "overlay-userxattr", /*userxattr=*/true);
}

}  // namespace ociunpack
