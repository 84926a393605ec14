// What a layer job is told, and what it tells back. Plain data; the addon fills and reads it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "apply/format.h"
#include "apply/policies.h"
#include "base/limits.h"
#include "base/note.h"
#include "base/usage.h"
#include "digest/digest.h"
#include "pipeline/scheduler.h"
#include "tree/planner.h"
#include "tree/view.h"

namespace ociunpack {

// A window of a file; length -1 is to its end.
struct PathSource {
  std::string path;
  uint64_t offset = 0;
  int64_t length = -1;
};
// The descriptor is duplicated at start; it stays the caller's.
struct FdSource {
  int fd = -1;
  uint64_t offset = 0;
  int64_t length = -1;
};
// Bytes that are pushed (LayerJob::push_source). `replay` is where the same bytes can be read again
// if the layer has to be planned anew (a symlink of a lower layer on the way to something); without
// it such a layer fails with ERR_UNSUPPORTED.
struct StreamSource {
  std::optional<PathSource> replay;
};

struct LayerOptions {
  std::variant<PathSource, FdSource, StreamSource> source;
  std::string directory;  // an existing, empty directory of ours; the host's path, absolute
  bool dry = false;       // only read, check and plan: there is no directory, nothing is written
  Format format = Format::kOverlay;
  bool count_usage = false;       // SettleResult::usage is wanted; not with format flat
  bool has_lower = false;         // layers lie below; settle() will be given their view
  std::optional<Digest> digest;   // of the blob as it is stored
  std::optional<uint64_t> size;   // of the blob
  std::optional<Digest> diff_id;  // of the uncompressed tar
  Policies policies;              // of applying
  PlanOptions plan;               // of planning; `lower` is set by the job itself
  bool ignore_trailing_garbage = false;
  Limits limits;
  Scheduler::GroupRef group;
};

struct LayerCounts {
  uint64_t entries = 0;  // all tar entries
  uint64_t files = 0;
  uint64_t directories = 0;
  uint64_t symlinks = 0;
  uint64_t hardlinks = 0;
  uint64_t devices = 0;
  uint64_t fifos = 0;
  uint64_t whiteouts = 0;
  uint64_t opaques = 0;
  uint64_t bytes = 0;  // content of files
};

// Milliseconds of all threads together, but for `wall`.
struct LayerTimes {
  double read = 0;
  double decode = 0;
  double hash = 0;    // blob and diffID
  double parse = 0;   // tar and plan, making directories included
  double create = 0;  // files: openat(2), mknod(2)
  double write = 0;   // their content and metadata; links, symlinks, devices
  double finish = 0;  // metadata of directories
  double settle = 0;
  double wall = 0;  // from start() to done, settle not included
};

struct LayerResult {
  Digest digest;
  Digest diff_id;
  uint64_t size = 0;               // bytes of the blob
  uint64_t uncompressed_size = 0;  // bytes of the tar
  std::string compression;         // "gzip", "zstd", "none" or "empty"
  std::string decoder;             // "isa-l", "zlib", "zstd" or "identity"
  LayerCounts counts;
  LayerTimes times;
};

struct SettleOptions {
  std::string index_path;  // where the tree's index is written; empty: nowhere
  std::string flat_root;   // format flat: the directory to merge into; it shows what `below` says
};

struct SettleResult {
  std::shared_ptr<const TreeView> tree;  // this layer on top of what was below
  bool replanned = false;
  LayerResult layer;  // as in done, with the times and counts of settling
  std::vector<Note> notes;
  // What the directory takes, where it was wanted and could be counted on the way.
  std::optional<DiskUsage> usage;
};

// Sampled by any thread.
struct LayerProgress {
  uint64_t bytes_in = 0;   // compressed bytes read
  uint64_t bytes_out = 0;  // tar bytes decoded
  uint64_t entries = 0;
};

}  // namespace ociunpack
