// What a writable overlay does that is mounted without options, on this file system: whether it can
// be, and whether redirect_dir, metacopy and index are on, by what it leaves in upper.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "base/unique_fd.h"
#include "host/mount.h"
#include "host/probe_scratch.h"

namespace ociunpack {
namespace {

// `redirect_dir=N`; empty where the kernel does not tell.
std::string parameter(const char* name) {
  std::ifstream file(std::string("/sys/module/overlay/parameters/") + name);
  std::string value;
  return file >> value ? std::string(name) + "=" + value : std::string();
}

std::string with_parameter(std::string seen, const char* name) {
  const std::string value = parameter(name);
  return value.empty() ? seen : value + "; " + seen;
}

void make_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  (void)!::write(file.get(), "content", 7);
}

// Whether xattrs of overlayfs can have the name that the host's root uses.
bool is_trusted(const ProbeScratch& scratch) {
  return ::setxattr(scratch.at("dw").c_str(), "trusted.overlay.impure", "y", 1, 0) == 0 &&
         ::removexattr(scratch.at("dw").c_str(), "trusted.overlay.impure") == 0;
}

void redirect_dir(ProbeScratch& scratch) {
  const int result = ::rename(scratch.at("dm/renamed").c_str(), scratch.at("dm/moved").c_str());
  const int error = result == 0 ? 0 : errno;
  const std::string seen =
      "rename of a lower directory: " + (error == 0 ? "done" : errno_name(error));
  if (error != 0 && error != EXDEV) {
    scratch.add_not_tested("redirect-dir", with_parameter(seen, "redirect_dir"));
    return;
  }
  scratch.add("redirect-dir", error == 0 ? "warn" : "ok", error == 0 ? "on" : "off",
              with_parameter(seen, "redirect_dir"));
}

void metacopy(ProbeScratch& scratch, const char* xattr) {
  if (::chmod(scratch.at("dm/changed").c_str(), 0640) != 0) {
    scratch.add_not_tested("metacopy", with_parameter("chmod: " + errno_name(errno), "metacopy"));
    return;
  }
  const bool only_metadata = ::getxattr(scratch.at("du/changed").c_str(), xattr, nullptr, 0) >= 0;
  const char* seen = only_metadata ? "chmod of a lower file: its metadata alone was copied up"
                                   : "chmod of a lower file: all of it was copied up";
  scratch.add("metacopy", only_metadata ? "warn" : "ok", only_metadata ? "on" : "off",
              with_parameter(seen, "metacopy"));
}

void index(ProbeScratch& scratch) {
  const bool made = ::access(scratch.at("dw/index").c_str(), F_OK) == 0;
  const char* seen = made ? "the work directory has an index" : "no index in the work directory";
  scratch.add("index", "ok", made ? "on" : "off", with_parameter(seen, "index"));
}

void upper(ProbeScratch& scratch) {
  const auto fails = [&](const std::string& what, int error) {
    scratch.add("overlay-upper", "warn", "no", what + ": " + errno_name(error));
  };
  if (::unlink(scratch.at("dm/deleted").c_str()) != 0) return fails("unlink in the mount", errno);
  if (::access(scratch.at("dm/deleted").c_str(), F_OK) == 0) {
    scratch.add("overlay-upper", "fail", "no", "unlink in the mount: the file is still there");
    return;
  }
  const UniqueFd file(
      ::open(scratch.at("dm/new").c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  if (!file.valid()) return fails("open(O_CREAT) in the mount", errno);
  scratch.add("overlay-upper", "ok", "yes", "mount(overlay, upperdir): created and deleted a file");
}

}  // namespace

void probe_overlay_defaults(ProbeScratch& scratch, const std::vector<std::string>& options) {
  scratch.make({"dl/renamed", "du", "dw", "dm"});
  make_file(scratch.at("dl/changed"));
  make_file(scratch.at("dl/deleted"));
  OverlayMount mount;
  mount.userxattr = !is_trusted(scratch);
  mount.lowers = {scratch.at("dl")};
  mount.upper = scratch.at("du");
  mount.work = scratch.at("dw");
  mount.target = scratch.at("dm");
  mount.options = options;
  if (const Status status = mount_overlay(mount); !status.ok()) {
    const std::string why = status.error().message();
    scratch.add("overlay-upper", "warn", "no", why);
    for (const auto& [id, name] : {std::pair{"redirect-dir", "redirect_dir"},
                                   {"metacopy", "metacopy"},
                                   {"index", "index"}}) {
      scratch.add_not_tested(id, with_parameter(why, name));
    }
    return;
  }
  upper(scratch);
  redirect_dir(scratch);
  metacopy(scratch, mount.userxattr ? "user.overlay.metacopy" : "trusted.overlay.metacopy");
  index(scratch);
  (void)unmount(mount.target, true);
}

}  // namespace ociunpack
