#include "base/open_to_read.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/sys.h"

namespace ociunpack {
namespace {

struct Request {
  int directory;
  const char* name;
  int flags;
  std::string users;  // for uid_map and gid_map: we are root there, and nobody else exists
  std::string groups;
  int fd = -1;
};

bool put(const char* path, std::string_view text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  return written;
}

// Runs in the process of the namespace, in our memory and on our table of descriptors: nothing but
// system calls. setgroups must be denied before a gid_map may be written without privileges
// (user_namespaces(7)).
int open_there(void* argument) {
  auto* request = static_cast<Request*>(argument);
  if (put("/proc/self/setgroups", "deny") && put("/proc/self/gid_map", request->groups) &&
      put("/proc/self/uid_map", request->users)) {
    request->fd = ::openat(request->directory, request->name, request->flags);
  }
  return 0;
}

UniqueFd open_in_namespace(int directory, const char* name, int flags) {
  constexpr size_t kStack = size_t{64} << 10;
  const auto stack = std::make_unique_for_overwrite<std::byte[]>(kStack);
  Request request{directory, name, flags, "0 " + std::to_string(::geteuid()) + " 1",
                  "0 " + std::to_string(::getegid()) + " 1"};
  // It has our signal handlers, which must not run there.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  // CLONE_VFORK: this thread waits until it has ended. CLONE_FILES: what is opened there is open
  // here. No signal at its end, so that nobody but us hears of it (waitpid(2), __WALL).
  const int child = ::clone(open_there, stack.get() + kStack,
                            CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_NEWUSER, &request);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) return {};
  while (::waitpid(child, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  return UniqueFd(request.fd);
}

}  // namespace

UniqueFd open_to_read(int directory, const char* name, int flags) {
  flags |= O_NOFOLLOW | O_CLOEXEC;
  UniqueFd fd(sys::openat(directory, name, flags));
  if (fd.valid() || errno != EACCES) return fd;
  struct stat status {};
  if (::fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
      status.st_uid == ::geteuid() && (status.st_mode & S_IRUSR) == 0) {
    fd = open_in_namespace(directory, name, flags);
  }
  errno = EACCES;
  return fd;
}

}  // namespace ociunpack
