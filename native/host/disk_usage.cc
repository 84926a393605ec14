#include "host/disk_usage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/dir_stream.h"
#include "base/unique_fd.h"
#include "base/work_queue.h"

namespace ociunpack {
namespace {

// Levels whose streams stay open; deeper ones are read whole and closed, so that a tree of any
// depth is walked with a bounded number of descriptors.
constexpr size_t kMaxOpen = 256;
// Names that one thread looks at before others come to help: less is done before they are there.
constexpr uint64_t kAlone = 2000;

// What the walks of one call share.
struct Shared {
  const std::string& path;
  const dev_t device;
  DiskUsage usage;    // of the walks that have ended
  WorkQueue queue{};  // directories to walk, open: the oldest first, which has the most below it
  std::mutex mutex{};
  std::set<std::pair<dev_t, ino_t>> linked{};  // with several names, and counted
};

// Depth first from one directory.
class Walk {
 public:
  // `alone`: names that it looks at before others come to help.
  Walk(Shared* shared, uint64_t alone)
      : shared_(shared), path_(shared->path), device_(shared->device), alone_(alone) {}

  void run(UniqueFd fd, ino_t inode) {
    Status status = enter(std::move(fd), inode);
    while (status.ok() && !levels_.empty() && !shared_->queue.failed()) status = step();
    if (!status.ok()) return shared_->queue.fail(std::move(status).error());
    const std::lock_guard lock(shared_->mutex);
    shared_->usage.bytes += usage_.bytes;
    shared_->usage.inodes += usage_.inodes;
  }

 private:
  void add(const struct stat& status) {
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1 && !is_first(status)) return;
    usage_.bytes += static_cast<uint64_t>(status.st_blocks) * kStatBlockBytes;
    ++usage_.inodes;
  }

  // Whether an inode with several names is met for the first time.
  bool is_first(const struct stat& status) {
    const std::lock_guard lock(shared_->mutex);
    return shared_->linked.emplace(status.st_dev, status.st_ino).second;
  }

  struct Level {
    DirStream stream;
    ino_t inode = 0;
    std::vector<std::string> directories;  // of a level that was read whole: not entered yet
    bool whole = false;
  };

  Status enter(UniqueFd fd, ino_t inode) {
    OCIUNPACK_ASSIGN(DirStream stream, DirStream::open(std::move(fd), path_));
    levels_.push_back({std::move(stream), inode, {}, false});
    if (levels_.size() > kMaxOpen) {
      Level& above = levels_[levels_.size() - 1 - kMaxOpen];
      if (above.whole) {
        above.stream.reset();
      } else {
        OCIUNPACK_TRY(read_whole(&above));
      }
    }
    return {};
  }

  // Counts what the level still has, keeps the names of its directories, and closes it.
  Status read_whole(Level* level) {
    for (;;) {
      OCIUNPACK_ASSIGN(const dirent* entry, level->stream.next(path_));
      if (entry == nullptr) break;
      std::string name = entry->d_name;
      struct stat status {};
      OCIUNPACK_ASSIGN(const bool counts, look(level->stream.fd(), name, &status));
      if (counts && S_ISDIR(status.st_mode)) level->directories.push_back(std::move(name));
    }
    level->stream.reset();
    level->whole = true;
    return {};
  }

  // Counts a name; false where it is nothing to go on with.
  Result<bool> look(int fd, const std::string& name, struct stat* status) {
    if (::fstatat(fd, name.c_str(), status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT || errno == EACCES) return false;  // gone meanwhile, or closed to us
      return system_error(errno, "fstatat", path_, name);
    }
    if (status->st_dev != device_) return false;
    add(*status);
    return true;
  }

  Status step() {
    Level& level = levels_.back();
    if (level.whole) {
      if (level.directories.empty()) return leave();
      const std::string name = std::move(level.directories.back());
      level.directories.pop_back();
      return go_down(level.stream.fd(), name);
    }
    for (;;) {
      OCIUNPACK_ASSIGN(const dirent* entry, level.stream.next(path_));
      if (entry == nullptr) return leave();
      const std::string name = entry->d_name;
      struct stat status {};
      OCIUNPACK_ASSIGN(const bool counts, look(level.stream.fd(), name, &status));
      if (counts && S_ISDIR(status.st_mode)) return go_down(level.stream.fd(), name);
    }
  }

  Status go_down(int fd, const std::string& name) {
    UniqueFd child(::openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child.valid()) {
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return {};  // gone meanwhile
      // A layer may close a directory to its owner (0000), who has no capability that passes that
      // by. It is not opened for this: its mode may be looked at, and copied, at any time.
      if (errno == EACCES) return {};
      return system_error(errno, "openat", path_, name);
    }
    struct stat status {};
    if (::fstat(child.get(), &status) != 0) return system_error(errno, "fstat", path_, name);
    if (status.st_dev != device_) return {};
    if (usage_.inodes <= alone_ || !shared_->queue.has_room()) {
      return enter(std::move(child), status.st_ino);
    }
    auto start = std::make_shared<UniqueFd>(std::move(child));
    shared_->queue.add_open([shared = shared_, start, inode = status.st_ino] {
      Walk(shared, 0).run(std::move(*start), inode);
    });
    return {};
  }

  Status leave() {
    const Level left = std::move(levels_.back());
    levels_.pop_back();
    if (levels_.empty() || levels_.back().stream.valid()) return {};
    Level& above = levels_.back();
    UniqueFd fd(::openat(left.stream.fd(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return system_error(errno, "openat", path_, "..");
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) return system_error(errno, "fstat", path_, "..");
    OCIUNPACK_ASSIGN(above.stream, DirStream::open(std::move(fd), path_));
    if (status.st_ino != above.inode) {
      return input_error(Code::ERR_IO, "disk usage", path_, "a directory is being moved");
    }
    return {};
  }

  Shared* const shared_;
  const std::string& path_;
  const dev_t device_;
  const uint64_t alone_;
  DiskUsage usage_;
  std::vector<Level> levels_;
};

}  // namespace

Result<DiskUsage> disk_usage(const std::string& directory, unsigned threads) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return system_error(errno, "open", directory);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return system_error(errno, "fstat", directory);
  Shared shared{
      .path = directory,
      .device = status.st_dev,
      .usage = {.bytes = static_cast<uint64_t>(status.st_blocks) * kStatBlockBytes, .inodes = 1},
  };
  OCIUNPACK_TRY(
      shared.queue.run(threads, [&] { Walk(&shared, kAlone).run(std::move(fd), status.st_ino); }));
  return shared.usage;
}

Status sync_file_system(int fd) {
  if (::syncfs(fd) != 0) return system_error(errno, "syncfs", "");
  return {};
}

}  // namespace ociunpack
