// The mount API of fsopen(2): it takes any number of layers one by one, where mount(2) has a page
// for all of its options.
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/unique_fd.h"
#include "host/probe_scratch.h"

namespace ociunpack {

void probe_mount_api(ProbeScratch& scratch) {
  scratch.make({"api"});
  const UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC)));
  if (!context.valid()) {
    const int error = errno;
    const std::string evidence = "fsopen(overlay): " + errno_name(error);
    if (error == ENOSYS) {
      scratch.add("mount-api", "warn", "no", evidence);
    } else {
      scratch.add_not_tested("mount-api", evidence);  // no right to mount, or no overlayfs
    }
    return;
  }
  const std::string directory = scratch.at("api");
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, "lowerdir+", directory.c_str(),
                0) != 0) {
    scratch.add("mount-api", "warn", "without lowerdir+",
                "fsopen(overlay), fsconfig(lowerdir+): " + errno_name(errno));
    return;
  }
  scratch.add("mount-api", "ok", "yes", "fsopen(overlay), fsconfig(lowerdir+)");
}

}  // namespace ociunpack
