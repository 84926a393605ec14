#include "apply/remove.h"

#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "apply/locked_directory.h"
#include "base/dir_stream.h"
#include "base/sys.h"

namespace ociunpack {
namespace {

// Descriptors held on the way down: deeper levels are reached by opening ".." on the way back.
constexpr size_t kMaxOpen = 64;

class Remover {
 public:
  Remover(int root, std::string path) : root_(root), path_(std::move(path)) {}

  Status run() {
    struct stat status {};
    if (::fstat(root_, &status) != 0) return system_error(errno, "fstat", path_);
    device_ = status.st_dev;
    UniqueFd top(sys::openat(root_, ".", O_RDONLY | O_DIRECTORY));
    if (!top.valid() && errno == EACCES && unlock_directory(root_)) {
      top = UniqueFd(sys::openat(root_, ".", O_RDONLY | O_DIRECTORY));
    }
    OCIUNPACK_TRY(enter(std::move(top)));
    while (!levels_.empty()) OCIUNPACK_TRY(step());
    return {};
  }

 private:
  struct Level {
    DirStream stream;  // closed (not valid) where too many are open
    std::string name;  // in the level above; empty at the top
    ino_t inode = 0;
    bool removed = false;  // something, in this reading of its names
  };

  Status enter(UniqueFd fd, std::string name = {}) {
    if (!fd.valid()) return system_error(errno, "openat", path_, name);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) return system_error(errno, "fstat", path_, name);
    if (status.st_dev != device_) {
      return input_error(Code::ERR_IO, "remove", path_ + "/" + name,
                         "something is mounted there: umount it first");
    }
    OCIUNPACK_ASSIGN(DirStream stream, DirStream::open(std::move(fd), path_, name));
    levels_.push_back({std::move(stream), std::move(name), status.st_ino, false});
    if (levels_.size() > kMaxOpen) levels_[levels_.size() - kMaxOpen - 1].stream.reset();
    return {};
  }

  // Removes what is no directory, enters the first that is not empty, or leaves this one.
  Status step() {
    Level& level = levels_.back();
    const int fd = level.stream.fd();
    for (;;) {
      OCIUNPACK_ASSIGN(const dirent* entry, level.stream.next(path_));
      if (entry == nullptr && !level.removed) return leave();
      if (entry == nullptr) {
        // A reading may skip names where others go meanwhile (readdir(3p) leaves it open; NFS and
        // FUSE do). Once at the end and not after each directory: thousands of them would cost a
        // reading of thousands of names each.
        level.removed = false;
        level.stream.rewind();
        continue;
      }
      level.removed = true;  // by what follows, or an error ends it all
      const std::string name = entry->d_name;
      if (entry->d_type != DT_DIR && unlink_in(fd, name, 0)) continue;
      if (entry->d_type != DT_DIR && errno != EISDIR && errno != EPERM) {
        return system_error(errno, "unlinkat", path_, name);
      }
      if (unlink_in(fd, name, AT_REMOVEDIR)) continue;
      if (errno != ENOTEMPTY && errno != EEXIST) {
        return system_error(errno, "unlinkat", path_, name);
      }
      // Never into a symlink: the name may have become one since readdir(3).
      return enter(open_locked_directory(fd, name), name);
    }
  }

  // A directory that forbids its owner to remove what it holds is unlocked for that.
  static bool unlink_in(int directory, const std::string& name, int flags) {
    if (sys::unlinkat(directory, name.c_str(), flags) == 0) return true;
    if (errno != EACCES || !unlock_directory(directory)) return false;
    return sys::unlinkat(directory, name.c_str(), flags) == 0;
  }

  Status leave() {
    Level left = std::move(levels_.back());
    levels_.pop_back();
    if (levels_.empty()) return {};
    Level& above = levels_.back();
    if (!above.stream.valid()) {
      UniqueFd fd(sys::openat(left.stream.fd(), "..", O_RDONLY | O_DIRECTORY));
      if (!fd.valid()) return system_error(errno, "openat", path_, "..");
      struct stat status {};
      if (::fstat(fd.get(), &status) != 0) return system_error(errno, "fstat", path_, "..");
      if (status.st_dev != device_ || status.st_ino != above.inode) {
        return input_error(Code::ERR_IO, "remove", path_, "the directory is being moved");
      }
      OCIUNPACK_ASSIGN(above.stream, DirStream::open(std::move(fd), path_));
    }
    if (!unlink_in(above.stream.fd(), left.name, AT_REMOVEDIR)) {
      return system_error(errno, "unlinkat", path_, left.name);
    }
    return {};
  }

  const int root_;
  const std::string path_;
  dev_t device_ = 0;
  std::vector<Level> levels_;
};

}  // namespace

Status remove_tree(const DirHandle& parent, std::string_view name_view) {
  const std::string name(name_view);
  const int parent_fd = parent.fd.get();
  if (sys::unlinkat(parent_fd, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  // unlink(2) of a directory is EISDIR on Linux, EPERM by POSIX.
  if (errno != EISDIR && errno != EPERM) {
    return system_error(errno, "unlinkat", path_in(parent, name));
  }
  const UniqueFd fd = open_locked_directory(parent_fd, name);
  if (!fd.valid()) return system_error(errno, "openat", path_in(parent, name));
  struct stat above {
  }, own{};
  if (::fstat(parent_fd, &above) != 0 || ::fstat(fd.get(), &own) != 0) {
    return system_error(errno, "fstat", path_in(parent, name));
  }
  if (above.st_dev != own.st_dev) {
    return input_error(Code::ERR_IO, "remove", path_in(parent, name),
                       "something is mounted there: umount it first");
  }
  OCIUNPACK_TRY(Remover(fd.get(), path_in(parent, name)).run());
  if (sys::unlinkat(parent_fd, name.c_str(), AT_REMOVEDIR) != 0) {
    return system_error(errno, "unlinkat", path_in(parent, name));
  }
  return {};
}

Status remove_children(const DirHandle& directory) {
  return Remover(directory.fd.get(), directory.path).run();
}

}  // namespace ociunpack
