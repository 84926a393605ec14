// Preloaded into a process (ld.so(8)), makes the N-th file-system call below a directory fail, whoever makes it: libuv's
// threads, LMDB or the addon. FAULT_ROOT names the directory, FAULT_STATE a file of the size of `struct state` that is
// shared with the test, which says there what shall fail and reads what did. Nothing is done while `kind` is 0.

#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// What a call can fail with: the bits of `kind`.
enum {
  kAny = 1,     // EIO
  kSpace = 2,   // takes space: ENOSPC
  kSignal = 4,  // may be interrupted: EINTR
  kOpens = 8,   // makes a descriptor: EMFILE
  kAccess = 16, // looks at permissions: EACCES
  kPart = 32    // may move fewer bytes than it was told to; then `error` is 0
};

// The test writes the first half, and reads the second. Offsets as in test/store/faults.ts.
struct state {
  _Atomic int32_t kind;
  int32_t error;
  int64_t at;      // which call fails, from 1; 0: none, they are counted
  int64_t sticky;  // and all after it
  _Atomic int64_t count;
  _Atomic int64_t hits;
  char call[32];
  char path[512];
  char module[128]; // who has called it
};

static struct state* state;
static _Thread_local void* caller;
static const char* root;
static size_t root_length;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REAL(name)                          \
  static __typeof__(&name) real;            \
  if (real == NULL) real = NEXT(name);

__attribute__((constructor)) static void start(void) {
  const char* file = getenv("FAULT_STATE");
  root = getenv("FAULT_ROOT");
  if (file == NULL || root == NULL) return;
  root_length = strlen(root);
  const int fd = NEXT(open64)(file, O_RDWR | O_CLOEXEC);
  void* mapped = NEXT(mmap64)(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped == MAP_FAILED) abort();
  state = mapped;
}

static int is_below(const char* path) {
  return strncmp(path, root, root_length) == 0 &&
         (path[root_length] == '/' || path[root_length] == '\0');
}

// The path of a descriptor; of what it names, where `name` is not null. Whether that is below the root.
static int locate(int fd, const char* name, char* where) {
  if (name != NULL && name[0] == '/') {
    int of = 0;
    int end = 0;
    if (sscanf(name, "/proc/self/fd/%d%n", &of, &end) == 1) {
      return locate(of, name[end] == '/' ? name + end + 1 : NULL, where);
    }
    snprintf(where, PATH_MAX, "%s", name);
    return is_below(where);
  }
  char link[64];
  ssize_t length;
  if (fd == AT_FDCWD) {
    snprintf(link, sizeof link, "/proc/self/cwd");
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  }
  length = NEXT(readlink)(link, where, PATH_MAX - 1);
  if (length < 0) return 0;
  where[length] = '\0';
  if (name != NULL && name[0] != '\0') {
    snprintf(where + length, PATH_MAX - (size_t)length, "/%s", name);
  }
  return is_below(where);
}

// Whether this call is to fail. `errno` is as it was, unless it is.
static int is_hit(const char* call, int kinds, int fd, const char* name) {
  if (state == NULL) return 0;
  const int kind = atomic_load(&state->kind);
  if (kind == 0 || (kinds & kind) == 0) return 0;
  const int before = errno;
  char where[PATH_MAX];
  const int below = locate(fd, name, where);
  errno = before;
  if (!below) return 0;
  const int64_t number = atomic_fetch_add(&state->count, 1) + 1;
  if (state->at == 0 || number < state->at || (number > state->at && !state->sticky)) return 0;
  if (atomic_fetch_add(&state->hits, 1) == 0) {
    snprintf(state->call, sizeof state->call, "%s", call);
    snprintf(state->path, sizeof state->path, "%.*s", (int)sizeof state->path - 1, where);
    Dl_info from = {0};
    dladdr(caller, &from);
    const char* file = from.dli_fname == NULL ? "" : from.dli_fname;
    const size_t length = strlen(file);
    const size_t most = sizeof state->module - 1;
    snprintf(state->module, sizeof state->module, "%s", file + (length > most ? length - most : 0));
  }
  return 1;
}

static int fails(const char* call, int kinds, int fd, const char* name) {
  if (!is_hit(call, kinds & ~kPart, fd, name)) return 0;
  errno = state->error;
  return 1;
}

#define fails(...) (caller = __builtin_return_address(0), fails(__VA_ARGS__))

// How many bytes to move.
static size_t part(const char* call, size_t size, int fd) {
  return size > 1 && is_hit(call, kPart, fd, NULL) ? size / 2 : size;
}

// A call whose parameters are `params`, about descriptor `fd` and name `at` (null: the descriptor itself).
#define CALL(type, failed, name, params, args, kinds, fd, at)    \
  type name params {                                             \
    REAL(name)                                                   \
    if (fails(#name, kAny | (kinds), fd, at)) return failed;     \
    return real args;                                            \
  }

#define MODE(flags)                                              \
  mode_t mode = 0;                                               \
  if (((flags) & O_CREAT) != 0 || ((flags) & O_TMPFILE) == O_TMPFILE) { \
    va_list rest;                                                \
    va_start(rest, flags);                                       \
    mode = va_arg(rest, mode_t);                                 \
    va_end(rest);                                                \
  }

// A file that is there takes no space.
static int opens(int flags, int fd, const char* path) {
  const int before = errno;
  const int makes = (flags & O_CREAT) != 0 && NEXT(faccessat)(fd, path, F_OK, 0) != 0;
  errno = before;
  return kAny | kOpens | kSignal | kAccess | (makes ? kSpace : 0);
}

#define OPEN(name)                                               \
  int name(const char* path, int flags, ...) {                   \
    MODE(flags)                                                  \
    REAL(name)                                                   \
    if (fails(#name, opens(flags, AT_FDCWD, path), AT_FDCWD, path)) return -1;   \
    return real(path, flags, mode);                              \
  }
#define OPENAT(name)                                             \
  int name(int fd, const char* path, int flags, ...) {           \
    MODE(flags)                                                  \
    REAL(name)                                                   \
    if (fails(#name, opens(flags, fd, path), fd, path)) return -1;         \
    return real(fd, path, flags, mode);                          \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

// Reads and writes: also in part.
#define MOVE(name, bytes, params, args, kinds)                        \
  ssize_t name params {                                               \
    REAL(name)                                                        \
    if (fails(#name, kAny | kSignal | (kinds), fd, NULL)) return -1;  \
    size = part(#name, size, fd);                                     \
    return real args;                                                 \
  }
MOVE(read, bytes, (int fd, void* bytes, size_t size), (fd, bytes, size), 0)
MOVE(pread, bytes, (int fd, void* bytes, size_t size, off_t at), (fd, bytes, size, at), 0)
MOVE(pread64, bytes, (int fd, void* bytes, size_t size, off64_t at), (fd, bytes, size, at), 0)
MOVE(write, bytes, (int fd, const void* bytes, size_t size), (fd, bytes, size), kSpace)
MOVE(pwrite, bytes, (int fd, const void* bytes, size_t size, off_t at), (fd, bytes, size, at), kSpace)
MOVE(pwrite64, bytes, (int fd, const void* bytes, size_t size, off64_t at), (fd, bytes, size, at),
     kSpace)

// In part: the first piece alone, or half of the only one.
#define MOVEV(name, params, args, one, kinds)                              \
  ssize_t name params {                                                    \
    REAL(name)                                                             \
    if (fails(#name, kAny | kSignal | (kinds), fd, NULL)) return -1;       \
    const struct iovec first = {v[0].iov_base, (v[0].iov_len + 1) / 2};    \
    if (v[0].iov_len > 0 && is_hit(#name, kPart, fd, NULL)) return real one; \
    return real args;                                                      \
  }
MOVEV(readv, (int fd, const struct iovec* v, int n), (fd, v, n), (fd, &first, 1), 0)
MOVEV(preadv, (int fd, const struct iovec* v, int n, off_t at), (fd, v, n, at), (fd, &first, 1, at), 0)
MOVEV(preadv64, (int fd, const struct iovec* v, int n, off64_t at), (fd, v, n, at),
      (fd, &first, 1, at), 0)
MOVEV(writev, (int fd, const struct iovec* v, int n), (fd, v, n), (fd, &first, 1), kSpace)
MOVEV(pwritev, (int fd, const struct iovec* v, int n, off_t at), (fd, v, n, at),
      (fd, &first, 1, at), kSpace)
MOVEV(pwritev64, (int fd, const struct iovec* v, int n, off64_t at), (fd, v, n, at),
      (fd, &first, 1, at), kSpace)

CALL(ssize_t, -1, copy_file_range,
     (int in, off64_t* in_at, int out, off64_t* out_at, size_t size, unsigned flags),
     (in, in_at, out, out_at, size, flags), kSpace | kSignal, out, NULL)

CALL(int, -1, fsync, (int fd), (fd), kSpace | kSignal, fd, NULL)
CALL(int, -1, fdatasync, (int fd), (fd), kSpace | kSignal, fd, NULL)
CALL(int, -1, syncfs, (int fd), (fd), kSpace, fd, NULL)
CALL(int, -1, ftruncate, (int fd, off_t size), (fd, size), kSpace | kSignal, fd, NULL)
CALL(int, -1, ftruncate64, (int fd, off64_t size), (fd, size), kSpace | kSignal, fd, NULL)
CALL(int, -1, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size),
     kSpace | kSignal, fd, NULL)
CALL(int, -1, fallocate64, (int fd, int mode, off64_t at, off64_t size), (fd, mode, at, size),
     kSpace | kSignal, fd, NULL)
CALL(int, -1, flock, (int fd, int operation), (fd, operation), kSignal, fd, NULL)

CALL(int, -1, rename, (const char* from, const char* to), (from, to), kSpace | kAccess, AT_FDCWD, from)
CALL(int, -1, renameat, (int fd, const char* from, int to_fd, const char* to), (fd, from, to_fd, to),
     kSpace | kAccess, fd, from)
CALL(int, -1, renameat2, (int fd, const char* from, int to_fd, const char* to, unsigned flags),
     (fd, from, to_fd, to, flags), kSpace | kAccess, fd, from)
CALL(int, -1, mkdir, (const char* path, mode_t mode), (path, mode), kSpace | kAccess, AT_FDCWD, path)
CALL(int, -1, mkdirat, (int fd, const char* path, mode_t mode), (fd, path, mode), kSpace | kAccess, fd,
     path)
CALL(int, -1, mknodat, (int fd, const char* path, mode_t mode, dev_t device), (fd, path, mode, device),
     kSpace | kAccess, fd, path)
CALL(int, -1, link, (const char* from, const char* to), (from, to), kSpace | kAccess, AT_FDCWD, to)
CALL(int, -1, linkat, (int fd, const char* from, int to_fd, const char* to, int flags),
     (fd, from, to_fd, to, flags), kSpace | kAccess, to_fd, to)
CALL(int, -1, symlink, (const char* target, const char* path), (target, path), kSpace | kAccess,
     AT_FDCWD, path)
CALL(int, -1, symlinkat, (const char* target, int fd, const char* path), (target, fd, path),
     kSpace | kAccess, fd, path)
CALL(int, -1, unlink, (const char* path), (path), kAccess, AT_FDCWD, path)
CALL(int, -1, unlinkat, (int fd, const char* path, int flags), (fd, path, flags), kAccess, fd, path)
CALL(int, -1, rmdir, (const char* path), (path), kAccess, AT_FDCWD, path)

CALL(int, -1, chmod, (const char* path, mode_t mode), (path, mode), kAccess, AT_FDCWD, path)
CALL(int, -1, fchmod, (int fd, mode_t mode), (fd, mode), 0, fd, NULL)
CALL(int, -1, fchmodat, (int fd, const char* path, mode_t mode, int flags), (fd, path, mode, flags),
     kAccess, fd, path)
CALL(int, -1, chown, (const char* path, uid_t uid, gid_t gid), (path, uid, gid), kAccess, AT_FDCWD,
     path)
CALL(int, -1, lchown, (const char* path, uid_t uid, gid_t gid), (path, uid, gid), kAccess, AT_FDCWD,
     path)
CALL(int, -1, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), 0, fd, NULL)
CALL(int, -1, fchownat, (int fd, const char* path, uid_t uid, gid_t gid, int flags),
     (fd, path, uid, gid, flags), kAccess, fd, path)
CALL(int, -1, futimens, (int fd, const struct timespec times[2]), (fd, times), 0, fd, NULL)
CALL(int, -1, utimensat, (int fd, const char* path, const struct timespec times[2], int flags),
     (fd, path, times, flags), kAccess, fd, path)

#define XATTR(name, type, params, args, kinds, fd, path) \
  CALL(type, -1, name, params, args, kinds, fd, path)
extern int setxattr(const char*, const char*, const void*, size_t, int);
extern int lsetxattr(const char*, const char*, const void*, size_t, int);
extern int fsetxattr(int, const char*, const void*, size_t, int);
extern ssize_t lgetxattr(const char*, const char*, void*, size_t);
extern ssize_t fgetxattr(int, const char*, void*, size_t);
extern ssize_t llistxattr(const char*, char*, size_t);
extern ssize_t flistxattr(int, char*, size_t);
XATTR(setxattr, int, (const char* path, const char* name, const void* value, size_t size, int flags),
      (path, name, value, size, flags), kSpace | kAccess, AT_FDCWD, path)
XATTR(lsetxattr, int, (const char* path, const char* name, const void* value, size_t size, int flags),
      (path, name, value, size, flags), kSpace | kAccess, AT_FDCWD, path)
XATTR(fsetxattr, int, (int fd, const char* name, const void* value, size_t size, int flags),
      (fd, name, value, size, flags), kSpace, fd, NULL)
XATTR(lgetxattr, ssize_t, (const char* path, const char* name, void* value, size_t size),
      (path, name, value, size), kAccess, AT_FDCWD, path)
XATTR(fgetxattr, ssize_t, (int fd, const char* name, void* value, size_t size), (fd, name, value, size),
      0, fd, NULL)
XATTR(llistxattr, ssize_t, (const char* path, char* names, size_t size), (path, names, size), kAccess,
      AT_FDCWD, path)
XATTR(flistxattr, ssize_t, (int fd, char* names, size_t size), (fd, names, size), 0, fd, NULL)

CALL(DIR*, NULL, opendir, (const char* path), (path), kOpens | kAccess, AT_FDCWD, path)
CALL(DIR*, NULL, fdopendir, (int fd), (fd), 0, fd, NULL)
CALL(struct dirent*, NULL, readdir, (DIR * directory), (directory), 0, dirfd(directory), NULL)
CALL(struct dirent64*, NULL, readdir64, (DIR * directory), (directory), 0, dirfd(directory), NULL)
CALL(int, -1, scandir64,
     (const char* path, struct dirent64*** found, int (*filter)(const struct dirent64*),
      int (*compare)(const struct dirent64**, const struct dirent64**)),
     (path, found, filter, compare), kOpens | kAccess, AT_FDCWD, path)
CALL(int, -1, scandir,
     (const char* path, struct dirent*** found, int (*filter)(const struct dirent*),
      int (*compare)(const struct dirent**, const struct dirent**)),
     (path, found, filter, compare), kOpens | kAccess, AT_FDCWD, path)

CALL(int, -1, stat, (const char* path, struct stat* found), (path, found), kAccess, AT_FDCWD, path)
CALL(int, -1, lstat, (const char* path, struct stat* found), (path, found), kAccess, AT_FDCWD, path)
CALL(int, -1, fstat, (int fd, struct stat* found), (fd, found), 0, fd, NULL)
CALL(int, -1, fstatat, (int fd, const char* path, struct stat* found, int flags),
     (fd, path, found, flags), kAccess, fd, path)
CALL(int, -1, stat64, (const char* path, struct stat64* found), (path, found), kAccess, AT_FDCWD, path)
CALL(int, -1, lstat64, (const char* path, struct stat64* found), (path, found), kAccess, AT_FDCWD,
     path)
CALL(int, -1, fstat64, (int fd, struct stat64* found), (fd, found), 0, fd, NULL)
CALL(int, -1, fstatat64, (int fd, const char* path, struct stat64* found, int flags),
     (fd, path, found, flags), kAccess, fd, path)
CALL(int, -1, statx, (int fd, const char* path, int flags, unsigned mask, struct statx* found),
     (fd, path, flags, mask, found), kAccess, fd, path)
CALL(int, -1, statfs, (const char* path, struct statfs* found), (path, found), kAccess | kSignal,
     AT_FDCWD, path)
CALL(int, -1, statfs64, (const char* path, struct statfs64* found), (path, found), kAccess | kSignal,
     AT_FDCWD, path)
CALL(int, -1, fstatfs, (int fd, struct statfs* found), (fd, found), kSignal, fd, NULL)
CALL(int, -1, fstatfs64, (int fd, struct statfs64* found), (fd, found), kSignal, fd, NULL)
CALL(int, -1, access, (const char* path, int mode), (path, mode), kAccess, AT_FDCWD, path)
CALL(int, -1, faccessat, (int fd, const char* path, int mode, int flags), (fd, path, mode, flags),
     kAccess, fd, path)
CALL(ssize_t, -1, readlink, (const char* path, char* target, size_t size), (path, target, size),
     kAccess, AT_FDCWD, path)
CALL(ssize_t, -1, readlinkat, (int fd, const char* path, char* target, size_t size),
     (fd, path, target, size), kAccess, fd, path)

CALL(void*, MAP_FAILED, mmap64, (void* at, size_t size, int rights, int flags, int fd, off64_t offset),
     (at, size, rights, flags, fd, offset), kAccess, (flags & MAP_ANONYMOUS) != 0 ? -1 : fd, NULL)
CALL(void*, MAP_FAILED, mmap, (void* at, size_t size, int rights, int flags, int fd, off_t offset),
     (at, size, rights, flags, fd, offset), kAccess, (flags & MAP_ANONYMOUS) != 0 ? -1 : fd, NULL)

#define CONTROL(name, type, kinds)                               \
  int name(int fd, type command, ...) {                          \
    va_list rest;                                                \
    va_start(rest, command);                                     \
    void* argument = va_arg(rest, void*);                        \
    va_end(rest);                                                \
    REAL(name)                                                   \
    if (fails(#name, kinds, fd, NULL)) return -1;                \
    return real(fd, command, argument);                          \
  }
extern int ioctl(int, unsigned long, ...);
CONTROL(ioctl, unsigned long, kAny | kSpace)
// Locks alone can fail, and making another descriptor.
static int of_fcntl(int command) {
  switch (command) {
    case F_SETLK:
    case F_SETLKW:
    case F_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
      return kAny | kSignal;
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      return kOpens;
    default:
      return 0;
  }
}
CONTROL(fcntl, int, of_fcntl(command))
CONTROL(fcntl64, int, of_fcntl(command))

// What libuv and the addon call by number.
long syscall(long number, ...) {
  va_list rest;
  long a[6];
  va_start(rest, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
  va_end(rest);
  REAL(syscall)
  const char* name = (const char*)a[1];
  int failed = 0;
  switch (number) {
    case SYS_openat2:
      failed = fails("openat2", opens((int)*(const uint64_t*)a[2], (int)a[0], name), (int)a[0], name);
      break;
    case SYS_openat:
      failed = fails("openat", opens((int)a[2], (int)a[0], name), (int)a[0], name);
      break;
    case SYS_statx:
      failed = fails("statx", kAny | kAccess, (int)a[0], name);
      break;
    case SYS_renameat2:
      failed = fails("renameat2", kAny | kSpace | kAccess, (int)a[0], name);
      break;
    case SYS_getdents64:
      failed = fails("getdents64", kAny, (int)a[0], NULL);
      break;
    case SYS_syncfs:
      failed = fails("syncfs", kAny | kSpace, (int)a[0], NULL);
      break;
    case SYS_copy_file_range:
      failed = fails("copy_file_range", kAny | kSpace | kSignal, (int)a[2], NULL);
      break;
#ifdef SYS_fchmodat2
    case SYS_fchmodat2:
      failed = fails("fchmodat2", kAny | kAccess, (int)a[0], name);
      break;
#endif
    default:
      break;
  }
  return failed ? -1 : real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
