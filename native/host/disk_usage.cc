#include "host/disk_usage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/dir_stream.h"
#include "base/unique_fd.h"

namespace ociunpack {
namespace {

// stat(2), st_blocks: "in units of 512 bytes", whatever the file system's block is.
constexpr uint64_t kBlock = 512;
// Levels whose streams stay open; deeper ones are read whole and closed, so that a tree of any
// depth is walked with a bounded number of descriptors.
constexpr size_t kMaxOpen = 256;
// Names that one thread looks at before others come to help: less is done before they are there.
constexpr uint64_t kAlone = 2000;
// Directories that wait for a thread: as many as keep them busy, each an open descriptor.
constexpr size_t kMostWaiting = 64;

// A directory to walk, open.
struct Start {
  UniqueFd fd;
  ino_t inode = 0;
};

// What the threads of one walk share: directories that wait for one of them, the inodes with
// several names that have been counted, and the first error.
class Shared {
 public:
  explicit Shared(Start top) { add(std::move(top)); }

  // Takes a directory for whoever is free; false, and nothing taken, where nobody else is there or
  // enough wait.
  bool offer(Start* start) {
    if (!has_others_.load(std::memory_order_relaxed)) return false;
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMostWaiting) return false;
    add(std::move(*start));
    changed_.notify_one();
    return true;
  }

  void set_has_others() { has_others_ = true; }

  // The next directory; none when all are done, or one has failed. The one that was taken before is
  // done then.
  std::optional<Start> take(bool done) {
    std::unique_lock lock(mutex_);
    if (done && --unfinished_ == 0) changed_.notify_all();
    changed_.wait(lock, [this] { return !waiting_.empty() || unfinished_ == 0 || failed(); });
    if (waiting_.empty() || failed()) return std::nullopt;
    // The one that has waited longest: it lies highest, with the most below it.
    Start start = std::move(waiting_.front());
    waiting_.pop_front();
    return start;
  }

  void fail(Error error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    failed_ = true;
    changed_.notify_all();
  }

  bool failed() const { return failed_.load(std::memory_order_relaxed); }
  std::optional<Error>& error() { return error_; }

  // Whether an inode with several names is met for the first time.
  bool is_first(const struct stat& status) {
    const std::lock_guard lock(links_mutex_);
    return linked_.emplace(status.st_dev, status.st_ino).second;
  }

 private:
  void add(Start start) {
    waiting_.push_back(std::move(start));
    ++unfinished_;
  }

  std::atomic<bool> has_others_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Start> waiting_;
  size_t unfinished_ = 0;  // waiting, or being walked
  std::optional<Error> error_;
  std::atomic<bool> failed_{false};
  std::mutex links_mutex_;
  std::set<std::pair<dev_t, ino_t>> linked_;
};

// The walk of one thread: depth first from each directory that it takes.
class Walk {
 public:
  // `start_others`: called once there is enough to do for others; empty for those, and who is
  // alone.
  Walk(Shared* shared, const std::string* path, dev_t device, std::function<void()> start_others)
      : shared_(shared), path_(*path), device_(device), start_others_(std::move(start_others)) {}

  // Until nothing is left.
  void run() {
    for (auto start = shared_->take(false); start; start = shared_->take(true)) {
      if (Status status = walk(std::move(*start)); !status.ok()) {
        shared_->fail(std::move(status).error());
      }
    }
  }

  void add(const struct stat& status) {
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1 && !shared_->is_first(status)) return;
    usage_.bytes += static_cast<uint64_t>(status.st_blocks) * kBlock;
    ++usage_.inodes;
  }

  const DiskUsage& usage() const { return usage_; }

 private:
  Status walk(Start start) {
    OCIUNPACK_TRY(enter(std::move(start.fd), start.inode));
    while (!levels_.empty() && !shared_->failed()) OCIUNPACK_TRY(step());
    return {};
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
      if (errno == ENOENT) return false;  // gone meanwhile
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
      return system_error(errno, "openat", path_, name);
    }
    struct stat status {};
    if (::fstat(child.get(), &status) != 0) return system_error(errno, "fstat", path_, name);
    if (status.st_dev != device_) return {};
    if (start_others_ && usage_.inodes > kAlone) std::exchange(start_others_, {})();
    Start start{std::move(child), status.st_ino};
    if (shared_->offer(&start)) return {};
    return enter(std::move(start.fd), start.inode);
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
  std::function<void()> start_others_;
  DiskUsage usage_;
  std::vector<Level> levels_;
};

}  // namespace

Result<DiskUsage> disk_usage(const std::string& directory, unsigned threads) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return system_error(errno, "open", directory);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return system_error(errno, "fstat", directory);
  Shared shared({std::move(fd), status.st_ino});
  std::deque<Walk> walks;
  std::vector<std::thread> others;
  const auto start_others = [&] {
    for (unsigned i = 1; i < std::clamp(threads, 1U, 64U); ++i) {
      Walk& walk = walks.emplace_back(&shared, &directory, status.st_dev, nullptr);
      try {
        others.emplace_back([&walk] { walk.run(); });
      } catch (const std::system_error&) {
        break;  // fewer of them
      }
      shared.set_has_others();
    }
  };
  Walk& first = walks.emplace_back(&shared, &directory, status.st_dev, start_others);
  first.add(status);
  first.run();
  for (std::thread& thread : others) thread.join();
  if (shared.error()) return *std::move(shared.error());
  DiskUsage usage;
  for (const Walk& walk : walks) {
    usage.bytes += walk.usage().bytes;
    usage.inodes += walk.usage().inodes;
  }
  return usage;
}

Status sync_file_system(int fd) {
  if (::syncfs(fd) != 0) return system_error(errno, "syncfs", "");
  return {};
}

}  // namespace ociunpack
