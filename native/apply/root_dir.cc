#include "apply/root_dir.h"

#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <atomic>
#include <utility>

#include "base/sys.h"
#include "tree/view.h"

namespace ociunpack {
namespace {

// A path for one system call: PATH_MAX less its NUL.
constexpr size_t kMaxPathBytes = 4095;

int openat2(int directory, const char* path, int flags, uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve;
  for (;;) {
    const auto fd = static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof how));
    // EAGAIN: a rename raced with a `..` (openat2(2)); the kernel asks for another try.
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) return fd;
  }
}

bool openat2_works() {
  static const bool works = [] {
    const UniqueFd fd(openat2(AT_FDCWD, "/", O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT));
    return fd.valid();
  }();
  return works;
}

bool has_nul(std::string_view path) { return path.find('\0') != std::string_view::npos; }

Result<std::string> read_link(int link, std::string_view path) {
  std::string target(4096, '\0');
  const ssize_t length = ::readlinkat(link, "", target.data(), target.size());
  if (length < 0) return system_error(errno, "readlinkat", std::string(path));
  target.resize(static_cast<size_t>(length));
  return target;
}

}  // namespace

Result<RootDir> RootDir::open(const std::string& host_path, Resolver resolver) {
  UniqueFd root(sys::openat(AT_FDCWD, host_path.c_str(), O_PATH | O_DIRECTORY));
  if (!root.valid()) return system_error(errno, "open", host_path);
  return RootDir(std::move(root), resolver != Resolver::kWalk && openat2_works());
}

Result<RootDir> RootDir::from_fd(int fd, Resolver resolver) {
  UniqueFd root(sys::openat(fd, ".", O_PATH | O_DIRECTORY));
  if (!root.valid()) return system_error(errno, "openat", ".");
  return RootDir(std::move(root), resolver != Resolver::kWalk && openat2_works());
}

Result<UniqueFd> RootDir::resolve(std::string_view path, int flags) const {
  if (has_nul(path)) {
    return input_error(Code::ERR_INVALID_ENTRY, "resolve", std::string(path), "a NUL in the path");
  }
  if (!use_openat2_ || path.size() > kMaxPathBytes) return resolve_walk(path, flags);
  const std::string whole = path.empty() ? "." : std::string(path);
  UniqueFd fd(openat2(root_.get(), whole.c_str(), flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
  if (!fd.valid()) return system_error(errno, "openat2", std::string(path));
  return fd;
}

// Component by component: each is opened with O_PATH | O_NOFOLLOW, so that the kernel never follows
// anything; symlinks are read and their components put in front of what is left. `..` pops the
// stack of opened directories, instead of being asked of the kernel: a directory that is moved
// away while we stand in it cannot lead out.
Result<UniqueFd> RootDir::resolve_walk(std::string_view path, int flags) const {
  const bool follow_last = (flags & O_NOFOLLOW) == 0;
  const bool must_be_directory = path.ends_with('/');
  std::vector<std::string> pending;
  const auto push = [&pending](std::string_view more) {
    const auto parts = split_path(more);
    for (size_t i = parts.size(); i-- > 0;) pending.emplace_back(parts[i]);
  };
  push(path);
  std::vector<UniqueFd> stack;
  const auto top = [&] { return stack.empty() ? root_.get() : stack.back().get(); };
  int symlinks = 0;
  while (!pending.empty()) {
    const std::string name = std::move(pending.back());
    pending.pop_back();
    if (name == "..") {
      if (!stack.empty()) stack.pop_back();
      continue;
    }
    const bool last = pending.empty();
    UniqueFd fd(sys::openat(top(), name.c_str(), O_PATH | O_NOFOLLOW));
    if (!fd.valid()) {
      const bool may_create = last && errno == ENOENT && (flags & O_CREAT) != 0;
      if (!may_create) return system_error(errno, "openat", std::string(path), name);
      UniqueFd made(sys::openat(top(), name.c_str(), flags | O_NOFOLLOW, 0600));
      if (!made.valid()) return system_error(errno, "openat", std::string(path), name);
      return made;
    }
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0)
      return system_error(errno, "fstat", std::string(path), name);
    if (S_ISLNK(status.st_mode) && (!last || follow_last || must_be_directory)) {
      if (++symlinks > kMaxSymlinks) return system_error(ELOOP, "openat", std::string(path), name);
      OCIUNPACK_ASSIGN(const std::string target, read_link(fd.get(), path));
      if (target.starts_with('/')) stack.clear();
      push(target);
      continue;
    }
    if (!last && !S_ISDIR(status.st_mode)) {
      return system_error(ENOTDIR, "openat", std::string(path), name);
    }
    stack.push_back(std::move(fd));
  }
  if (stack.empty()) {
    UniqueFd root(sys::openat(root_.get(), ".", flags | O_NOFOLLOW));
    if (!root.valid()) return system_error(errno, "openat", std::string(path));
    return root;
  }
  struct stat status {};
  if (::fstat(stack.back().get(), &status) != 0) {
    return system_error(errno, "fstat", std::string(path));
  }
  if ((must_be_directory || (flags & O_DIRECTORY) != 0) && !S_ISDIR(status.st_mode)) {
    return system_error(ENOTDIR, "openat", std::string(path));
  }
  if ((flags & O_PATH) != 0) return std::move(stack.back());
  if (S_ISLNK(status.st_mode)) return system_error(ELOOP, "openat", std::string(path));
  // What was found is opened again through its own descriptor: no name is looked up a second time.
  const std::string self = "/proc/self/fd/" + std::to_string(stack.back().get());
  UniqueFd fd(sys::openat(AT_FDCWD, self.c_str(), flags & ~O_NOFOLLOW & ~O_CREAT & ~O_EXCL));
  if (!fd.valid()) return system_error(errno, "openat", std::string(path));
  return fd;
}

Result<UniqueFd> RootDir::open_directory(std::string_view path) const {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  if (has_nul(path)) {
    return input_error(Code::ERR_INVALID_ENTRY, "resolve", std::string(path), "a NUL in the path");
  }
  if (use_openat2_ && path.size() <= kMaxPathBytes) {
    const std::string whole = path.empty() ? "." : std::string(path);
    UniqueFd fd(openat2(root_.get(), whole.c_str(), kFlags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
    if (!fd.valid()) return system_error(errno, "openat2", std::string(path));
    return fd;
  }
  UniqueFd at(sys::openat(root_.get(), ".", kFlags));
  if (!at.valid()) return system_error(errno, "openat", std::string(path));
  for (const std::string_view name : split_path(path)) {
    if (name == "..") return system_error(EXDEV, "openat", std::string(path), "..");
    UniqueFd next(sys::openat(at.get(), std::string(name).c_str(), kFlags));
    if (!next.valid()) return system_error(errno, "openat", std::string(path), std::string(name));
    at = std::move(next);
  }
  return at;
}

Result<RootDir::Parent> RootDir::resolve_parent(std::string_view path) const {
  while (path.ends_with('/')) path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") {
    return input_error(Code::ERR_INVALID_ENTRY, "resolve", std::string(path),
                       "the path does not end in a name");
  }
  const std::string_view parent = slash == std::string_view::npos ? "" : path.substr(0, slash);
  OCIUNPACK_ASSIGN(UniqueFd directory, resolve(parent, O_RDONLY | O_DIRECTORY));
  return Parent{std::move(directory), std::string(name)};
}

}  // namespace ociunpack
