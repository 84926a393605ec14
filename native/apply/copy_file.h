// The content and the metadata of one file for copy_tree.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace ociunpack {

// Where something lies that is copied: a descriptor of its own, or (fd < 0, for what cannot be
// opened) a name in an open directory. `path` is for messages.
struct CopyEnd {
  int directory = -1;
  const char* name = "";
  int fd = -1;
  const std::string& path;
};

struct CopiedContent {
  bool shared = false;
  uint64_t bytes = 0;
};

// Makes the empty file `to` hold what `from`, a file of `size` bytes, holds: FICLONE where the file
// system has it, else copy_file_range(2) of what is no hole, else through memory.
Result<CopiedContent> copy_file_content(int from, int to, uint64_t size, const std::string& path,
                                        const std::atomic<bool>* cancelled);

// Owner, xattrs, mode and times of `status`, in the order that SEMANTICS asks for: chown(2) clears
// set-id bits and security.capability, and everything but utimensat(2) may change times.
// `overlay_marks`: also xattrs that overlayfs itself reads (trusted.overlay.*, user.overlay.*).
Status copy_metadata(const CopyEnd& from, const CopyEnd& to, const struct stat& status,
                     bool overlay_marks = true);

}  // namespace ociunpack
