// Reading the facts of what is on disk: by name in an open directory, or of an open file. Never
// follows a symlink, opens nothing.
#pragma once

#include <sys/types.h>

#include <string>

#include "audit/facts.h"

namespace ociunpack {

struct DiskEntry {
  EntryFacts facts;
  uint64_t device = 0;  // dev_t of the file system
  uint64_t inode = 0;
  uint32_t links = 1;
  uint64_t blocks = 0;       // of 512 bytes
  bool mount_point = false;  // something is mounted on it
  bool fine_times = true;    // the file system keeps fractions of a second
};

// Overlayfs' own xattrs are those of `trusted.` or of `user.`; of neither where it is empty.
struct Namespace {
  std::string prefix;  // "trusted.overlay."
};

// Everything but xattrs and what needs reading. 0, or errno. `name` empty: the open file `fd`.
int read_status(int fd, const char* name, DiskEntry* entry);
// The target of a symlink.
int read_target(int directory, const char* name, EntryFacts* facts);
// The xattrs that count. `name` empty: of the open file or directory `fd`. An empty file that is a
// whiteout by its xattr becomes one.
int read_xattrs(int fd, const char* name, const Namespace& overlay, EntryFacts* facts);

}  // namespace ociunpack
