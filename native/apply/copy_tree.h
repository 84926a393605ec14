// Copies a whole directory tree exactly: owners, all mode bits, times to the nanosecond, xattrs,
// hardlink groups, symlinks, devices, fifos, sockets and the holes of sparse files. Content is
// shared where the file system can (reflinks), else copied inside the kernel.
//
// Why it is fast: directories are copied by several threads, each through the two descriptors of
// its directory; no path is resolved more than once.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace ociunpack {

struct CopyCounts {
  uint64_t entries = 0;    // names that were made, the top not counted
  uint64_t reflinked = 0;  // files whose content is shared with the original
  uint64_t bytes = 0;      // copied, not shared
};

// Copies what lies in `from` into `to`, an existing empty directory, and gives `to` the metadata of
// `from`; both are host paths. Runs on `threads` threads (1 to 64) and blocks. Neither directory
// may be changed meanwhile. Other mounts below `from` are not entered. When it fails, or
// `cancelled` (may be null) becomes true (ERR_ABORTED), part of the copy is left for the caller to
// remove.
Result<CopyCounts> copy_tree(const std::string& from, const std::string& to, unsigned threads,
                             const std::atomic<bool>* cancelled = nullptr);

// Gives the directory `to` the owner, mode, xattrs and times of the directory `from`, without the
// marks of overlayfs: what an upper directory needs to look like the lower one that it covers.
Status copy_directory_metadata(const std::string& from, const std::string& to);

}  // namespace ociunpack
