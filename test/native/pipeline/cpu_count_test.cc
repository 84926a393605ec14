#include "pipeline/cpu_count.h"

#include <sched.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "../check.h"

namespace ociunpack {
namespace {

// A made-up /proc and /sys.
class FakeRoot {
 public:
  FakeRoot() {
    char name[] = "/tmp/oci-unpack-cpu-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  void write(const std::string& file, const std::string& text) {
    const std::filesystem::path target = path_ + file;
    std::filesystem::create_directories(target.parent_path());
    std::ofstream(target) << text;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

constexpr char kMountV2[] =
    "25 30 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(cpu_count_without_cgroups_is_the_mask) {
  const FakeRoot root;
  CHECK_EQ(cpu_count(root.path(), 6), 6u);
}

TEST(cpu_count_of_this_machine_is_within_the_mask) {
  cpu_set_t set;
  REQUIRE(::sched_getaffinity(0, sizeof set, &set) == 0);
  CHECK(cpu_count() >= 1);
  CHECK(cpu_count() <= static_cast<unsigned>(CPU_COUNT(&set)));
}

TEST(cpu_count_v2_rounds_up_and_takes_the_smallest_of_the_ancestors) {
  FakeRoot root;
  root.write("/proc/self/cgroup", "0::/a.slice/b.scope\n");
  root.write("/proc/self/mountinfo", kMountV2);
  root.write("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "max 100000\n");
  CHECK_EQ(cpu_count(root.path(), 16), 16u);
  root.write("/sys/fs/cgroup/a.slice/cpu.max", "250000 100000\n");
  CHECK_EQ(cpu_count(root.path(), 16), 3u);
  CHECK_EQ(cpu_count(root.path(), 2), 2u);
  root.write("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "50000 100000\n");
  CHECK_EQ(cpu_count(root.path(), 16), 1u);
  root.write("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "200000 100000\n");
  CHECK_EQ(cpu_count(root.path(), 16), 2u);
}

TEST(cpu_count_v2_in_a_cgroup_namespace) {
  FakeRoot root;
  root.write("/proc/self/cgroup", "0::/\n");
  root.write("/proc/self/mountinfo", kMountV2);
  root.write("/sys/fs/cgroup/cpu.max", "400000 100000\n");
  CHECK_EQ(cpu_count(root.path(), 16), 4u);
  root.write("/proc/self/cgroup", "0::/../outside\n");
  CHECK_EQ(cpu_count(root.path(), 16), 4u);
}

TEST(cpu_count_v1_with_a_part_of_the_hierarchy_mounted) {
  FakeRoot root;
  root.write("/proc/self/cgroup", "5:devices:/docker/77\n4:cpu,cpuacct:/docker/77/inner\n0::/\n");
  root.write("/proc/self/mountinfo",
             "31 24 0:27 /docker/77 /sys/fs/cgroup/cpu\\040acct rw - cgroup cgroup rw,cpu,cpuacct\n"
             "32 24 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n");
  root.write("/sys/fs/cgroup/cpu acct/cpu.cfs_quota_us", "-1\n");
  root.write("/sys/fs/cgroup/cpu acct/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(cpu_count(root.path(), 8), 8u);
  root.write("/sys/fs/cgroup/cpu acct/inner/cpu.cfs_quota_us", "150000\n");
  root.write("/sys/fs/cgroup/cpu acct/inner/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(cpu_count(root.path(), 8), 2u);
}

TEST(cpu_count_ignores_nonsense) {
  FakeRoot root;
  root.write("/proc/self/cgroup", "garbage\n0::/x\n");
  root.write("/proc/self/mountinfo", std::string("short line\n - \n") + kMountV2);
  root.write("/sys/fs/cgroup/x/cpu.max", "abc\n");
  root.write("/sys/fs/cgroup/cpu.max", "0 0\n");
  CHECK_EQ(cpu_count(root.path(), 5), 5u);
}

}  // namespace
}  // namespace ociunpack
