#include "floor/create.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/unique_fd.h"

namespace ociunpack::bench {
namespace {

size_t open_limit() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  return std::max<size_t>(files.rlim_cur, 128) - 64;
}

class Creator {
 public:
  Creator(const Plan& plan, UniqueFd root)
      : plan_(plan),
        fds_(plan.directories.size()),
        limit_(open_limit()),
        euid_(::geteuid()),
        egid_(::getegid()) {
    fds_[0] = std::move(root);
  }

  Created run() {
    for (const Item& item : plan_.items) make(item);
    for (const Link& link : plan_.links) make_link(link);
    // Directories last and the latest first: whatever is made in one changes its time.
    for (auto item = plan_.items.rbegin(); item != plan_.items.rend(); ++item) {
      if (item->make == Make::kDirectory && item->mtime.seconds >= 0) {
        const int at = fd(item->self);
        if (at >= 0) set_time(at, item->mtime, item->name);
      }
    }
    return created_;
  }

 private:
  // One descriptor for each directory, opened once. SAFETY: RESOLVE_IN_ROOT, since a layer may
  // have a symlink where another entry has a parent (openat2(2)).
  int fd(size_t directory) {
    UniqueFd& fd = fds_[directory];
    if (!fd.valid()) {
      if (++open_ > limit_) {  // the next ones need a descriptor too
        for (size_t i = 1; i < fds_.size(); i++) fds_[i].reset();
        open_ = 1;
      }
      open_how how{};
      how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
      how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
      fd = UniqueFd(static_cast<int>(::syscall(
          SYS_openat2, fds_[0].get(), plan_.directories[directory].c_str(), &how, sizeof how)));
      if (!fd.valid()) fail("openat2", plan_.directories[directory]);
    }
    return fd.get();
  }

  void fail(const char* call, const std::string& name) {
    if (created_.failed++ == 0) {
      created_.first_failure = system_error(errno, call, name).message();
    }
  }

  bool check(int result, const char* call, const std::string& name) {
    if (result >= 0) return true;
    fail(call, name);
    return false;
  }

  void set_time(int fd, const Timestamp& mtime, const std::string& name) {
    const timespec times[2] = {
        {static_cast<time_t>(mtime.seconds), static_cast<long>(mtime.nanoseconds)},
        {static_cast<time_t>(mtime.seconds), static_cast<long>(mtime.nanoseconds)}};
    check(::futimens(fd, times), "futimens", name);
  }

  // By name, for what cannot be opened without a side effect.
  void finish_at(int at, const Item& item) {
    if (item.uid != euid_ || item.gid != egid_) {
      check(::fchownat(at, item.name.c_str(), item.uid, item.gid, AT_SYMLINK_NOFOLLOW), "fchownat",
            item.name);
    }
    const timespec times[2] = {
        {static_cast<time_t>(item.mtime.seconds), static_cast<long>(item.mtime.nanoseconds)},
        {static_cast<time_t>(item.mtime.seconds), static_cast<long>(item.mtime.nanoseconds)}};
    check(::utimensat(at, item.name.c_str(), times, AT_SYMLINK_NOFOLLOW), "utimensat", item.name);
  }

  void set_xattrs(int fd, const Item& item) {
    for (const auto& [name, value] : item.xattrs) {
      check(::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0), "fsetxattr", item.name);
    }
  }

  void make(const Item& item) {
    if (item.make == Make::kNothing) return;
    created_.items++;
    const char* name = item.name.c_str();
    const int at = fd(item.parent);
    if (at < 0) return;
    switch (item.make) {
      case Make::kNothing:
        return;
      case Make::kFile:
        make_file(at, item);
        return;
      case Make::kDirectory:
        make_directory(at, item);
        return;
      case Make::kSymlink:
        if (check(::symlinkat(item.target.c_str(), at, name), "symlinkat", item.name)) {
          finish_at(at, item);
        }
        return;
      case Make::kDevice:
      case Make::kFifo: {
        const mode_t mode = item.make == Make::kFifo ? S_IFIFO | item.mode : item.mode;
        if (check(::mknodat(at, name, mode, item.device), "mknodat", item.name)) {
          finish_at(at, item);
        }
        return;
      }
      case Make::kWhiteout:
        check(::mknodat(at, name, S_IFCHR, 0), "mknodat", item.name);
        return;
      case Make::kOpaque:
        check(::fsetxattr(at, "trusted.overlay.opaque", "y", 1, 0), "fsetxattr", item.name);
        return;
    }
  }

  void make_directory(int at, const Item& item) {
    if (item.name.empty()) {
      ::fchmod(at, item.mode);
      set_xattrs(at, item);
      return;
    }
    if (!check(::mkdirat(at, item.name.c_str(), item.mode), "mkdirat", item.name)) return;
    if (item.uid != euid_ || item.gid != egid_) {
      check(::fchownat(at, item.name.c_str(), item.uid, item.gid, AT_SYMLINK_NOFOLLOW), "fchownat",
            item.name);
    }
    if (item.mode & 07000) {  // mkdir(2) may leave these out
      check(::fchmodat(at, item.name.c_str(), item.mode, 0), "fchmodat", item.name);
    }
    if (!item.xattrs.empty()) set_xattrs(fd(item.self), item);
  }

  void make_file(int at, const Item& item) {
    const UniqueFd file(::openat(at, item.name.c_str(),
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, item.mode));
    if (!check(file.get(), "openat", item.name)) return;
    for (std::span<const uint8_t> left : item.content) {
      while (!left.empty()) {
        const ssize_t written = ::write(file.get(), left.data(), left.size());
        if (!check(static_cast<int>(written < 0 ? -1 : 0), "write", item.name)) return;
        left = left.subspan(static_cast<size_t>(written));
      }
    }
    if (item.uid != euid_ || item.gid != egid_) {
      check(::fchown(file.get(), item.uid, item.gid), "fchown", item.name);
      if (item.mode & 06000) check(::fchmod(file.get(), item.mode), "fchmod", item.name);
    }
    set_xattrs(file.get(), item);
    set_time(file.get(), item.mtime, item.name);
  }

  void make_link(const Link& link) {
    created_.items++;
    const size_t slash = link.target.rfind('/');
    const std::string parent = slash == std::string::npos ? "" : link.target.substr(0, slash);
    open_how how{};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const UniqueFd from(parent.empty()
                            ? ::fcntl(fds_[0].get(), F_DUPFD_CLOEXEC, 0)
                            : static_cast<int>(::syscall(SYS_openat2, fds_[0].get(), parent.c_str(),
                                                         &how, sizeof how)));
    const int to = fd(link.parent);
    if (to < 0 || !check(from.get(), "openat2", link.target)) return;
    check(::linkat(from.get(), link.target.c_str() + (slash == std::string::npos ? 0 : slash + 1),
                   to, link.name.c_str(), 0),
          "linkat", link.name);
  }

  const Plan& plan_;
  std::vector<UniqueFd> fds_;
  size_t open_ = 0;
  const size_t limit_;
  const uid_t euid_;
  const gid_t egid_;
  Created created_;
};

}  // namespace

Result<Created> create_layer(const Plan& plan, const std::string& root) {
  UniqueFd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return system_error(errno, "open", root);
  return Creator(plan, std::move(fd)).run();
}

}  // namespace ociunpack::bench
