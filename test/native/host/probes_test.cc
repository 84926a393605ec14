// The probes of the host: that they see what they say, where this host can be made to show it.
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>

#include "../apply/scratch.h"
#include "../check.h"
#include "host/probe_scratch.h"

namespace ociunpack {
namespace {

using check::Scratch;

const Probe* find(const std::vector<Probe>& probes, const std::string& id) {
  for (const Probe& probe : probes) {
    if (probe.id == id) return &probe;
  }
  return nullptr;
}

std::string value_of(const std::vector<Probe>& probes, const std::string& id) {
  const Probe* probe = find(probes, id);
  return probe == nullptr ? "" : probe->value;
}

TEST(an_opaque_mark_on_the_new_upper_directory_is_the_bug) {
  Scratch scratch;
  const std::string directory = scratch.host("d");
  std::filesystem::create_directory(directory);
  const char* xattr = "user.overlay.opaque";
  CHECK_EQ(judge_upper_directory(directory, xattr).status, "ok");
  if (::setxattr(directory.c_str(), xattr, "x", 1, 0) != 0) SKIP("no user.* xattrs here");
  CHECK_EQ(judge_upper_directory(directory, xattr).status, "ok");  // that of xattr whiteouts
  REQUIRE(::setxattr(directory.c_str(), xattr, "y", 1, 0) == 0);
  const Probe probe = judge_upper_directory(directory, xattr);
  CHECK_EQ(probe.status, "fail");
  CHECK_EQ(probe.value, "yes");
  CHECK(probe.evidence.find(xattr) != std::string::npos);
}

TEST(no_new_upper_directory_tells_nothing_of_the_bug) {
  Scratch scratch;
  const Probe probe = judge_upper_directory(scratch.host("none"), "user.overlay.opaque");
  CHECK_EQ(probe.status, "unknown");
}

TEST(what_a_mount_does_by_default_is_seen_in_its_upper) {
  struct Case {
    std::vector<std::string> options;
    std::string redirect_dir, metacopy, index;
  };
  const Case cases[] = {
      {{"redirect_dir=off", "metacopy=off", "index=off"}, "off", "off", "off"},
      {{"redirect_dir=on", "metacopy=off", "index=off"}, "on", "off", "off"},
      {{"redirect_dir=on", "metacopy=on", "index=off"}, "on", "on", "off"},
      {{"redirect_dir=off", "metacopy=off", "index=on"}, "off", "off", "on"},
  };
  for (const auto& [options, redirect_dir, metacopy, index] : cases) {
    Scratch directory;
    ProbeScratch scratch(directory.host(""));
    probe_overlay_defaults(scratch, options);
    const std::vector<Probe> probes = scratch.take();
    if (value_of(probes, "overlay-upper") == "no") SKIP("overlayfs cannot be mounted so here");
    CHECK_EQ(value_of(probes, "redirect-dir"), redirect_dir);
    CHECK_EQ(value_of(probes, "metacopy"), metacopy);
    CHECK_EQ(value_of(probes, "index"), index);
  }
}

TEST(probes_leave_nothing_and_name_no_scratch_path) {
  Scratch directory;
  const auto probes = probe_host(directory.host(""));
  REQUIRE_OK(probes);
  for (const Probe& probe : probes.value()) {
    CHECK(probe.evidence.find(directory.host("")) == std::string::npos);
    CHECK(!probe.value.empty());
  }
  CHECK(std::filesystem::is_empty(directory.host("")));
}

}  // namespace
}  // namespace ociunpack
