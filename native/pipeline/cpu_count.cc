#include "pipeline/cpu_count.h"

#include <sched.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

namespace ociunpack {
namespace {

unsigned affinity_count() {
  // The kernel refuses a mask smaller than its own (EINVAL), so grow until it fits.
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (!set) break;
    const size_t size = CPU_ALLOC_SIZE(cpus);
    const bool ok = ::sched_getaffinity(0, size, set) == 0;
    const int count = ok ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (ok) return static_cast<unsigned>(std::max(count, 1));
  }
  return 1;
}

// Where a cgroup hierarchy with the cpu controller is mounted: proc_pid_mountinfo(5).
struct Hierarchy {
  bool v2 = false;
  std::string cgroup;      // our path in it, from /proc/self/cgroup
  std::string mount_root;  // the cgroup that is visible at the mount point
  std::string mount_point;
};

bool has_word(std::string_view list, std::string_view word) {
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    if (list.substr(begin, end - begin) == word) return true;
    begin = end + 1;
  }
  return false;
}

// Blanks in mountinfo are written \040 and the like.
std::string unescape(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      result +=
          static_cast<char>(std::strtol(std::string(text.substr(i + 1, 3)).c_str(), nullptr, 8));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::vector<Hierarchy> hierarchies(const std::string& root) {
  std::vector<Hierarchy> found;
  std::ifstream cgroups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(cgroups, line);) {  // "0::/path" or "4:cpu,cpuacct:/path"
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = line.starts_with("0:") && controllers.empty();
    if (v2 || has_word(controllers, "cpu")) found.push_back({v2, line.substr(second + 1), {}, {}});
  }
  std::ifstream mounts(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream before(line.substr(0, dash));
    std::istringstream after(line.substr(dash + 3));
    std::string id, parent, device, mount_root, mount_point, type, source, options;
    before >> id >> parent >> device >> mount_root >> mount_point;
    after >> type >> source >> options;
    for (Hierarchy& hierarchy : found) {
      const bool matches =
          hierarchy.v2 ? type == "cgroup2" : type == "cgroup" && has_word(options, "cpu");
      if (!matches || !hierarchy.mount_point.empty()) continue;
      hierarchy.mount_root = unescape(mount_root);
      hierarchy.mount_point = unescape(mount_point);
    }
  }
  return found;
}

// The bound of one cgroup in CPUs; nothing when it has none.
std::optional<double> quota_of(const std::string& directory, bool v2) {
  double quota = 0;
  double period = 0;
  if (v2) {  // cpu.max: "max 100000" or "150000 100000"
    std::ifstream file(directory + "/cpu.max");
    if (!(file >> quota >> period)) return {};
  } else {  // cpu.cfs_quota_us: -1 for none
    std::ifstream quota_file(directory + "/cpu.cfs_quota_us");
    std::ifstream period_file(directory + "/cpu.cfs_period_us");
    if (!(quota_file >> quota) || !(period_file >> period)) return {};
  }
  if (quota <= 0 || period <= 0) return {};
  return quota / period;
}

std::optional<double> smallest_quota(const std::string& root, const Hierarchy& hierarchy) {
  if (hierarchy.mount_point.empty()) return {};
  // What is mounted may be a part of the hierarchy: our path below that part.
  std::string below = hierarchy.cgroup;
  if (hierarchy.mount_root != "/") {
    const bool inside =
        below.starts_with(hierarchy.mount_root) &&
        (below.size() == hierarchy.mount_root.size() || below[hierarchy.mount_root.size()] == '/');
    below = inside ? below.substr(hierarchy.mount_root.size()) : "";
  }
  // A cgroup outside our cgroup namespace shows as /../..: only the mount point can be looked at.
  if (below.find("/..") != std::string::npos) below.clear();
  while (!below.empty() && below.back() == '/') below.pop_back();

  std::optional<double> smallest;
  while (true) {
    const auto quota = quota_of(root + hierarchy.mount_point + below, hierarchy.v2);
    if (quota && (!smallest || *quota < *smallest)) smallest = quota;
    if (below.empty()) return smallest;
    below.erase(below.rfind('/'));
  }
}

}  // namespace

unsigned cpu_count(const std::string& root, unsigned mask_cpus) {
  unsigned count = mask_cpus > 0 ? mask_cpus : affinity_count();
  for (const Hierarchy& hierarchy : hierarchies(root)) {
    const auto quota = smallest_quota(root, hierarchy);
    if (!quota || *quota >= count) continue;
    const auto whole = static_cast<unsigned>(*quota);
    count = std::max(whole + (*quota > whole ? 1U : 0U), 1U);
  }
  return count;
}

}  // namespace ociunpack
