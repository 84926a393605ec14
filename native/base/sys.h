// The system calls that write a layer, each as a thin inline wrapper: -1 and errno on failure, EINTR
// retried where the call may simply be made again. In builds with OCIUNPACK_FAULT_INJECTION a hook
// is asked first, so that tests can make any call fail in its turn.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

namespace ociunpack::sys {

#ifdef OCIUNPACK_FAULT_INJECTION
// Defined by the test build: the errno that `call` is to fail with now, or 0.
int inject(const char* call);
#define OCIUNPACK_SYS_INJECT(call)               \
  do {                                           \
    if (const int injected = inject(call)) {     \
      errno = injected;                          \
      return -1;                                 \
    }                                            \
  } while (0)
#else
#define OCIUNPACK_SYS_INJECT(call) \
  do {                             \
  } while (0)
#endif

inline int openat(int directory, const char* path, int flags, mode_t mode = 0) {
  OCIUNPACK_SYS_INJECT("openat");
  for (;;) {
    const int fd = ::openat(directory, path, flags | O_CLOEXEC, mode);
    if (fd >= 0 || errno != EINTR) return fd;
  }
}
inline ssize_t pwritev(int fd, const iovec* pieces, int count, off_t offset) {
  OCIUNPACK_SYS_INJECT("pwritev");
  for (;;) {
    const ssize_t written = ::pwritev(fd, pieces, count, offset);
    if (written >= 0 || errno != EINTR) return written;
  }
}
inline ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  OCIUNPACK_SYS_INJECT("pwrite");
  for (;;) {
    const ssize_t written = ::pwrite(fd, bytes, size, offset);
    if (written >= 0 || errno != EINTR) return written;
  }
}
inline int ftruncate(int fd, off_t size) {
  OCIUNPACK_SYS_INJECT("ftruncate");
  for (;;) {
    const int result = ::ftruncate(fd, size);
    if (result == 0 || errno != EINTR) return result;
  }
}
inline int fchown(int fd, uid_t uid, gid_t gid) {
  OCIUNPACK_SYS_INJECT("fchown");
  return ::fchown(fd, uid, gid);
}
inline int fchownat(int directory, const char* name, uid_t uid, gid_t gid) {
  OCIUNPACK_SYS_INJECT("fchownat");
  return ::fchownat(directory, name, uid, gid, AT_SYMLINK_NOFOLLOW);
}
inline int fchmod(int fd, mode_t mode) {
  OCIUNPACK_SYS_INJECT("fchmod");
  return ::fchmod(fd, mode);
}
inline int fchmodat(int directory, const char* name, mode_t mode) {
  OCIUNPACK_SYS_INJECT("fchmodat");
  return ::fchmodat(directory, name, mode, 0);
}
inline int futimens(int fd, const timespec times[2]) {
  OCIUNPACK_SYS_INJECT("futimens");
  return ::futimens(fd, times);
}
inline int utimensat(int directory, const char* name, const timespec times[2]) {
  OCIUNPACK_SYS_INJECT("utimensat");
  return ::utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW);
}
inline int fsetxattr(int fd, const char* name, const void* value, size_t size) {
  OCIUNPACK_SYS_INJECT("fsetxattr");
  return ::fsetxattr(fd, name, value, size, 0);
}
inline int lsetxattr(const char* path, const char* name, const void* value, size_t size) {
  OCIUNPACK_SYS_INJECT("lsetxattr");
  return ::lsetxattr(path, name, value, size, 0);
}
inline int mkdirat(int directory, const char* name, mode_t mode) {
  OCIUNPACK_SYS_INJECT("mkdirat");
  return ::mkdirat(directory, name, mode);
}
inline int mknodat(int directory, const char* name, mode_t mode, dev_t device) {
  OCIUNPACK_SYS_INJECT("mknodat");
  return ::mknodat(directory, name, mode, device);
}
inline int symlinkat(const char* target, int directory, const char* name) {
  OCIUNPACK_SYS_INJECT("symlinkat");
  return ::symlinkat(target, directory, name);
}
inline int linkat(int from, const char* from_name, int to, const char* to_name) {
  OCIUNPACK_SYS_INJECT("linkat");
  return ::linkat(from, from_name, to, to_name, 0);
}
inline int renameat(int from, const char* from_name, int to, const char* to_name) {
  OCIUNPACK_SYS_INJECT("renameat");
  return ::renameat(from, from_name, to, to_name);
}
inline int unlinkat(int directory, const char* name, int flags) {
  OCIUNPACK_SYS_INJECT("unlinkat");
  return ::unlinkat(directory, name, flags);
}

#undef OCIUNPACK_SYS_INJECT

}  // namespace ociunpack::sys
