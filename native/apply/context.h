// What all writers of a layer share. Set up before the first of them runs, not changed after that.
#pragma once

#include <cstdint>

#include "apply/format.h"
#include "apply/policies.h"
#include "base/note.h"

namespace ociunpack {

class UsageCount;

struct ApplyContext {
  Format format = Format::kOverlay;
  Policies policies;
  NoteSink* notes = nullptr;    // never null when a function of this room is called
  UsageCount* usage = nullptr;  // null: what is made is not counted
  uint32_t euid = 0;            // of this process: what it creates belongs to them
  uint32_t egid = 0;
  bool umask_private = true;  // the writers' umask is 0; if not, modes are set by chmod
  // What probe_root() has found out of the file system.
  bool fine_times = true;   // it keeps nanoseconds
  bool lists_types = true;  // its listings tell the types of files
};

}  // namespace ociunpack
