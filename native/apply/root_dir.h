// RootDir: the one class that turns a path inside a root into a descriptor. Two resolvers behind
// one interface: openat2(2), where the kernel has it, and a walk with O_PATH where it has not;
// neither lets a symlink, `..` or a magic link lead out of the root.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ociunpack {

class RootDir {
 public:
  enum class Resolver : uint8_t { kAutomatic, kWalk };

  // The directory at a path of the host, which is trusted.
  static Result<RootDir> open(const std::string& host_path,
                              Resolver resolver = Resolver::kAutomatic);
  // Opens the directory `fd` anew.
  static Result<RootDir> from_fd(int fd, Resolver resolver = Resolver::kAutomatic);

  // Opens `path` with open(2)'s `flags` (O_CLOEXEC is added), as if the root were the process's
  // root: symlinks are followed inside it, `..` stops at it. The last component is not followed
  // with O_NOFOLLOW (then O_PATH opens the symlink itself, as open(2) does).
  Result<UniqueFd> resolve(std::string_view path, int flags) const;

  // Opens a directory, O_RDONLY; a symlink anywhere in `path` is an error (ELOOP or ENOTDIR). Paths
  // beyond PATH_MAX work.
  Result<UniqueFd> open_directory(std::string_view path) const;

  struct Parent {
    UniqueFd directory;
    std::string name;
  };
  // The directory that holds the last component of `path`, as resolve() finds it, and that
  // component, which may be missing, or be a symlink: it is not looked at. ERR_INVALID_ENTRY where
  // there is none ("", "a/..").
  Result<Parent> resolve_parent(std::string_view path) const;

  int fd() const { return root_.get(); }

 private:
  RootDir(UniqueFd root, bool use_openat2) : root_(std::move(root)), use_openat2_(use_openat2) {}
  Result<UniqueFd> resolve_walk(std::string_view path, int flags) const;

  UniqueFd root_;
  bool use_openat2_;
};

}  // namespace ociunpack
