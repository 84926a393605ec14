// What is to be created for a layer: its tar, parsed beforehand, with every path resolved to a
// directory and a name, so that nothing but system calls is left to be timed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "tar/entry.h"

namespace ociunpack::bench {

enum class Make : uint8_t {
  kFile,
  kDirectory,
  kSymlink,
  kDevice,
  kFifo,
  kWhiteout,
  kOpaque,
  kNothing
};

struct Item {
  Make make = Make::kFile;
  size_t parent = 0;  // index of Plan::directories
  std::string name;
  std::string target;  // of a symlink
  uint32_t mode = 0;   // with the type, for devices
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t device = 0;
  Timestamp mtime;
  size_t self = 0;  // of a directory: its own index
  std::vector<std::span<const uint8_t>> content;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

struct Link {
  std::string target;
  size_t parent = 0;
  std::string name;
};

struct Plan {
  std::vector<std::string> directories;  // paths; the root is the first, and empty
  std::vector<Item> items;
  std::vector<Link> links;  // made when all else is there
  uint64_t files = 0;
};

// Views of the plan point into `tar`. A name that comes twice is taken once, in its last form.
Result<Plan> plan_layer(std::span<const uint8_t> tar);

}  // namespace ociunpack::bench
