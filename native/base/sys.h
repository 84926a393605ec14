// The system calls that write a layer, each as a thin inline wrapper: -1 and errno on failure,
// EINTR retried where the call may simply be made again. In builds with OCIUNPACK_FAULT_INJECTION a
// hook is asked first, so that tests can make any call fail in its turn.
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
// Defined by the test build: what `call` is to do now. 0: be made; an errno: fail with it without
// being made; kShortWrite: of a write, to write one byte only.
int inject(const char* call);
inline constexpr int kShortWrite = -1;
inline bool fails(const char* call) {
  const int injected = inject(call);
  if (injected > 0) errno = injected;
  return injected > 0;
}
inline bool is_short(const char* call) { return inject(call) == kShortWrite; }
#define OCIUNPACK_SYS(call, expression) (fails(call) ? -1 : (expression))
#define OCIUNPACK_SYS_SHORT(call) is_short(call)
#else
#define OCIUNPACK_SYS(call, expression) (expression)
#define OCIUNPACK_SYS_SHORT(call) false
#endif

inline int openat(int directory, const char* path, int flags, mode_t mode = 0) {
  for (;;) {
    const int fd = OCIUNPACK_SYS("openat", ::openat(directory, path, flags | O_CLOEXEC, mode));
    if (fd >= 0 || errno != EINTR) return fd;
  }
}
inline ssize_t pwritev(int fd, const iovec* pieces, int count, off_t offset) {
  if (OCIUNPACK_SYS_SHORT("short pwritev")) return ::pwrite(fd, pieces->iov_base, 1, offset);
  for (;;) {
    const ssize_t written = OCIUNPACK_SYS("pwritev", ::pwritev(fd, pieces, count, offset));
    if (written >= 0 || errno != EINTR) return written;
  }
}
inline ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  if (OCIUNPACK_SYS_SHORT("short pwrite")) size = size < 1 ? size : 1;
  for (;;) {
    const ssize_t written = OCIUNPACK_SYS("pwrite", ::pwrite(fd, bytes, size, offset));
    if (written >= 0 || errno != EINTR) return written;
  }
}
inline int ftruncate(int fd, off_t size) {
  for (;;) {
    const int result = OCIUNPACK_SYS("ftruncate", ::ftruncate(fd, size));
    if (result == 0 || errno != EINTR) return result;
  }
}
inline int fchown(int fd, uid_t uid, gid_t gid) {
  return OCIUNPACK_SYS("fchown", ::fchown(fd, uid, gid));
}
inline int fchownat(int directory, const char* name, uid_t uid, gid_t gid) {
  return OCIUNPACK_SYS("fchownat", ::fchownat(directory, name, uid, gid, AT_SYMLINK_NOFOLLOW));
}
inline int fchmod(int fd, mode_t mode) { return OCIUNPACK_SYS("fchmod", ::fchmod(fd, mode)); }
inline int fchmodat(int directory, const char* name, mode_t mode) {
  return OCIUNPACK_SYS("fchmodat", ::fchmodat(directory, name, mode, 0));
}
inline int futimens(int fd, const timespec times[2]) {
  return OCIUNPACK_SYS("futimens", ::futimens(fd, times));
}
inline int utimensat(int directory, const char* name, const timespec times[2]) {
  return OCIUNPACK_SYS("utimensat", ::utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW));
}
inline int fsetxattr(int fd, const char* name, const void* value, size_t size) {
  return OCIUNPACK_SYS("fsetxattr", ::fsetxattr(fd, name, value, size, 0));
}
inline int lsetxattr(const char* path, const char* name, const void* value, size_t size) {
  return OCIUNPACK_SYS("lsetxattr", ::lsetxattr(path, name, value, size, 0));
}
inline int mkdirat(int directory, const char* name, mode_t mode) {
  return OCIUNPACK_SYS("mkdirat", ::mkdirat(directory, name, mode));
}
inline int mknodat(int directory, const char* name, mode_t mode, dev_t device) {
  return OCIUNPACK_SYS("mknodat", ::mknodat(directory, name, mode, device));
}
inline int symlinkat(const char* target, int directory, const char* name) {
  return OCIUNPACK_SYS("symlinkat", ::symlinkat(target, directory, name));
}
inline int linkat(int from, const char* from_name, int to, const char* to_name) {
  return OCIUNPACK_SYS("linkat", ::linkat(from, from_name, to, to_name, 0));
}
inline int renameat(int from, const char* from_name, int to, const char* to_name) {
  return OCIUNPACK_SYS("renameat", ::renameat(from, from_name, to, to_name));
}
inline int unlinkat(int directory, const char* name, int flags) {
  return OCIUNPACK_SYS("unlinkat", ::unlinkat(directory, name, flags));
}

#undef OCIUNPACK_SYS
#undef OCIUNPACK_SYS_SHORT

}  // namespace ociunpack::sys
