// What an audit compares and reports: the facts of one entry, as a tree says them or as they are on
// disk. Plain data; src/native/binding.d.ts says what each field means.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tar/entry.h"

namespace ociunpack {

enum class FactType : uint8_t {
  kDirectory,
  kFile,
  kSymlink,
  kCharDevice,
  kBlockDevice,
  kFifo,
  kSocket,
  kWhiteout,
};

// Name and value, sorted by name.
using FactXattrs = std::vector<std::pair<std::string, std::string>>;

struct EntryFacts {
  EntryFacts() = default;
  explicit EntryFacts(FactType own_type, int own_error = 0) : type(own_type), error(own_error) {}

  FactType type = FactType::kFile;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  Timestamp mtime;
  uint64_t size = 0;   // of a file
  std::string target;  // of a symlink
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  FactXattrs xattrs;
  std::optional<uint32_t> crc32c;
  bool implicit = false;
  bool copied_up = false;
  bool opaque = false;
  std::vector<std::string> links;
  int error = 0;  // errno of what kept it from being read
};

struct Difference {
  std::string path;
  std::optional<EntryFacts> expected;
  std::optional<EntryFacts> found;
  std::vector<std::string> fields;
};

struct AuditResult {
  uint64_t entries = 0;
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t unchecked = 0;
  std::vector<Difference> differences;
  uint64_t more_differences = 0;
};

}  // namespace ociunpack
