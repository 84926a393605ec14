// How many CPUs this process may really use: what os.cpus() and nproc do not tell in a container.
#pragma once

#include <string>

namespace ociunpack {

// The smaller of the CPUs in the affinity mask and the CPU quota of the cgroups we are in, rounded
// up (cpu.max of cgroup v2, cpu.cfs_quota_us of v1; every ancestor's bound counts). At least 1.
// `root` is put before /proc and /sys (for tests); a `mask_cpus` above 0 stands for the mask.
unsigned cpu_count(const std::string& root = "", unsigned mask_cpus = 0);

}  // namespace ociunpack
