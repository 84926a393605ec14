// What a directory tree takes on its file system.
#pragma once

#include <string>

#include "base/result.h"
#include "base/usage.h"

namespace ociunpack {

// Walks `directory`, a host path, without following symlinks or entering other mounts; names that
// vanish meanwhile, and what lies in directories that are closed to us, do not count. On up to
// `threads` threads (1 to 64), a small tree on one. Blocks. ERR_NOT_FOUND where it is not there.
Result<DiskUsage> disk_usage(const std::string& directory, unsigned threads = 1);

// Writes everything of the file system that holds `fd` to its disk, and waits (syncfs(2)). Reports
// a write that failed since `fd` was opened, or was last given here (Linux 5.8).
Status sync_file_system(int fd);

}  // namespace ociunpack
