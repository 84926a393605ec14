#include "apply/copy_tree.h"

#include <sys/stat.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "apply/copy_file.h"
#include "apply/root_dir.h"
#include "base/dir_stream.h"
#include "base/open_to_read.h"
#include "base/sys.h"
#include "base/unique_fd.h"
#include "base/work_queue.h"

namespace ociunpack {
namespace {

// A directory that is being copied. It gets its metadata when everything below it is done: copying
// changes its mtime, and its mode may close it to us.
struct Directory {
  std::shared_ptr<Directory> parent;  // null: the top
  std::string path;                   // below the top
  struct stat status {};
  std::atomic<unsigned> unfinished{1};  // itself, and its subdirectories
};
using DirectoryRef = std::shared_ptr<Directory>;

class TreeCopy {
 public:
  TreeCopy(RootDir from, RootDir to, const std::atomic<bool>* cancelled)
      : from_(std::move(from)), to_(std::move(to)), cancelled_(cancelled) {}

  Result<CopyCounts> run(unsigned threads) {
    auto top = std::make_shared<Directory>();
    if (::fstat(from_.fd(), &top->status) != 0) return system_error(errno, "fstat", "");
    device_ = top->status.st_dev;
    OCIUNPACK_TRY(queue_.run(threads, [&] { copy(top); }));
    return counts_;
  }

 private:
  void copy(const DirectoryRef& directory) {
    CopyCounts counts;
    if (Status status = copy_directory(directory, &counts); !status.ok()) {
      return queue_.fail(std::move(status).error());
    }
    const std::lock_guard lock(counts_mutex_);
    counts_.entries += counts.entries;
    counts_.reflinked += counts.reflinked;
    counts_.bytes += counts.bytes;
  }

  bool stopped() const {
    return queue_.failed() ||
           (cancelled_ != nullptr && cancelled_->load(std::memory_order_relaxed));
  }

  Status copy_directory(const DirectoryRef& directory, CopyCounts* counts) {
    const std::string& path = directory->path;
    OCIUNPACK_ASSIGN(UniqueFd from, from_.open_directory(path));
    OCIUNPACK_ASSIGN(const UniqueFd to, to_.open_directory(path));
    OCIUNPACK_ASSIGN(DirStream stream, DirStream::open(std::move(from), path));
    const int from_fd = stream.fd();
    for (;;) {
      if (stopped()) return input_error(Code::ERR_ABORTED, "copy", path, "cancelled");
      OCIUNPACK_ASSIGN(const dirent* entry, stream.next(path));
      if (entry == nullptr) break;
      const std::string name = entry->d_name;
      const std::string entry_path = path.empty() ? name : path + "/" + name;
      ++counts->entries;
      OCIUNPACK_TRY(copy_entry(directory, from_fd, to.get(), name, entry_path, counts));
    }
    return leave(directory, from_fd, to.get());
  }

  // What is left to do when one thing below (or in) `directory` is done.
  Status leave(DirectoryRef directory, int from_fd, int to_fd) {
    if (directory->unfinished.fetch_sub(1) != 1) return {};
    OCIUNPACK_TRY(finish(*directory, from_fd, to_fd));
    for (directory = directory->parent; directory; directory = directory->parent) {
      if (directory->unfinished.fetch_sub(1) != 1) return {};
      OCIUNPACK_ASSIGN(const UniqueFd from, from_.open_directory(directory->path));
      OCIUNPACK_ASSIGN(const UniqueFd to, to_.open_directory(directory->path));
      OCIUNPACK_TRY(finish(*directory, from.get(), to.get()));
    }
    return {};
  }

  static Status finish(const Directory& directory, int from_fd, int to_fd) {
    const CopyEnd from{.fd = from_fd, .path = directory.path};
    const CopyEnd to{.fd = to_fd, .path = directory.path};
    return copy_metadata(from, to, directory.status);
  }

  Status copy_entry(const DirectoryRef& directory, int from, int to, const std::string& name,
                    const std::string& path, CopyCounts* counts) {
    struct stat status {};
    if (::fstatat(from, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return system_error(errno, "fstatat", path);
    }
    if (S_ISDIR(status.st_mode)) return enter(directory, to, name, path, status);
    if (status.st_nlink > 1) {
      OCIUNPACK_ASSIGN(const bool linked, link_to_first(to, name, path, status));
      if (linked) return {};
      Status made = make(from, to, name, path, status, counts);
      first_is_made(status, made.ok());
      return made;
    }
    return make(from, to, name, path, status, counts);
  }

  Status enter(const DirectoryRef& parent, int to, const std::string& name, const std::string& path,
               const struct stat& status) {
    if (sys::mkdirat(to, name.c_str(), 0700) != 0) return system_error(errno, "mkdirat", path);
    auto directory = std::make_shared<Directory>();
    directory->path = path;
    directory->status = status;
    directory->parent = parent;
    parent->unfinished.fetch_add(1);
    if (status.st_dev == device_) {
      queue_.add([this, directory = std::move(directory)] { copy(directory); });
      return {};
    }
    // What is mounted there is not ours to look into; it is covered by an empty directory.
    return leave_mount_point(directory);
  }

  Status leave_mount_point(const DirectoryRef& directory) {
    OCIUNPACK_ASSIGN(const UniqueFd from, from_.open_directory(directory->path));
    OCIUNPACK_ASSIGN(const UniqueFd to, to_.open_directory(directory->path));
    return leave(directory, from.get(), to.get());
  }

  Status make(int from, int to, const std::string& name, const std::string& path,
              const struct stat& status, CopyCounts* counts) {
    const CopyEnd from_end{.directory = from, .name = name.c_str(), .path = path};
    const CopyEnd to_end{.directory = to, .name = name.c_str(), .path = path};
    switch (status.st_mode & S_IFMT) {
      case S_IFREG:
        return make_file(from_end, to_end, status, counts);
      case S_IFLNK: {
        std::string target(static_cast<size_t>(status.st_size) + 1, '\0');
        const ssize_t length = ::readlinkat(from, name.c_str(), target.data(), target.size());
        if (length < 0) return system_error(errno, "readlinkat", path);
        target.resize(static_cast<size_t>(length));
        if (sys::symlinkat(target.c_str(), to, name.c_str()) != 0) {
          return system_error(errno, "symlinkat", path);
        }
        break;
      }
      default:  // devices, fifos, sockets
        if (sys::mknodat(to, name.c_str(), status.st_mode & (S_IFMT | 0777), status.st_rdev) != 0) {
          return system_error(errno, "mknodat", path);
        }
    }
    return copy_metadata(from_end, to_end, status);
  }

  Status make_file(CopyEnd from, CopyEnd to, const struct stat& status, CopyCounts* counts) {
    const UniqueFd from_fd = open_to_read(from.directory, from.name, O_RDONLY);
    if (!from_fd.valid()) return system_error(errno, "openat", from.path);
    UniqueFd to_fd(
        sys::openat(to.directory, to.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    if (!to_fd.valid()) return system_error(errno, "openat", to.path);
    from.fd = from_fd.get();
    to.fd = to_fd.get();
    OCIUNPACK_ASSIGN(const CopiedContent content,
                     copy_file_content(from.fd, to.fd, static_cast<uint64_t>(status.st_size),
                                       from.path, cancelled_));
    counts->reflinked += content.shared ? 1 : 0;
    counts->bytes += content.bytes;
    OCIUNPACK_TRY(copy_metadata(from, to, status));
    if (const int error = to_fd.close()) return system_error(error, "close", to.path);
    return {};
  }

  // The first name of an inode makes it, the others become links of that one.
  struct Inode {
    std::string path;  // of its first name
    bool made = false;
  };
  using InodeKey = std::pair<dev_t, ino_t>;

  // False: this is the first name, and the caller makes it. Waits while another thread makes the
  // first one, which waits for nobody in turn.
  Result<bool> link_to_first(int to, const std::string& name, const std::string& path,
                             const struct stat& status) {
    std::string first;
    {
      std::unique_lock lock(inodes_mutex_);
      const InodeKey key(status.st_dev, status.st_ino);
      for (;;) {
        const auto [found, inserted] = inodes_.try_emplace(key, Inode{path});
        if (inserted) return false;
        if (found->second.made) {
          first = found->second.path;
          break;
        }
        inode_made_.wait(lock);
      }
    }
    const size_t slash = first.rfind('/');
    OCIUNPACK_ASSIGN(const UniqueFd parent,
                     to_.open_directory(slash == std::string::npos ? "" : first.substr(0, slash)));
    const std::string base = slash == std::string::npos ? first : first.substr(slash + 1);
    if (sys::linkat(parent.get(), base.c_str(), to, name.c_str()) != 0) {
      return system_error(errno, "linkat", path, "to " + first);
    }
    return true;
  }

  void first_is_made(const struct stat& status, bool ok) {
    const std::lock_guard lock(inodes_mutex_);
    const InodeKey key(status.st_dev, status.st_ino);
    if (ok) {
      inodes_[key].made = true;
    } else {
      inodes_.erase(key);  // everything stops; nobody shall wait for it
    }
    inode_made_.notify_all();
  }

  const RootDir from_;
  const RootDir to_;
  const std::atomic<bool>* cancelled_;
  dev_t device_ = 0;

  WorkQueue queue_;
  std::mutex counts_mutex_;
  CopyCounts counts_;

  std::mutex inodes_mutex_;
  std::condition_variable inode_made_;
  std::map<InodeKey, Inode> inodes_;
};

}  // namespace

Result<CopyCounts> copy_tree(const std::string& from, const std::string& to, unsigned threads,
                             const std::atomic<bool>* cancelled) {
  OCIUNPACK_ASSIGN(RootDir from_root, RootDir::open(from));
  OCIUNPACK_ASSIGN(RootDir to_root, RootDir::open(to));
  return TreeCopy(std::move(from_root), std::move(to_root), cancelled).run(threads);
}

Status copy_directory_metadata(const std::string& from, const std::string& to) {
  OCIUNPACK_ASSIGN(const RootDir from_root, RootDir::open(from));
  OCIUNPACK_ASSIGN(const RootDir to_root, RootDir::open(to));
  OCIUNPACK_ASSIGN(const UniqueFd from_fd, from_root.open_directory(""));
  OCIUNPACK_ASSIGN(const UniqueFd to_fd, to_root.open_directory(""));
  struct stat status {};
  if (::fstat(from_fd.get(), &status) != 0) return system_error(errno, "fstat", from);
  const CopyEnd from_end{.fd = from_fd.get(), .path = from};
  const CopyEnd to_end{.fd = to_fd.get(), .path = to};
  return copy_metadata(from_end, to_end, status, /*overlay_marks=*/false);
}

}  // namespace ociunpack
