/* LMDB as OpenLDAP makes it, from the package `lmdb` of npm, which brings its sources: a part of the addon, so that every
   error of it comes back as a code. The package's own binding, and its own LMDB, end the process for some. */

#define _GNU_SOURCE
#define MDB_MAXKEYSIZE 0 /* as long as a page allows, and not 511 bytes */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* LMDB takes a read that is short or interrupted (read(2)) for a damaged file. */
static ssize_t read_fully(int fd, void *to, size_t size, off_t at) {
  size_t done = 0;
  while (done < size) {
    const ssize_t count = pread(fd, (char *)to + done, size - done, at + (off_t)done);
    if (count == 0) break;
    if (count > 0) done += (size_t)count;
    if (count < 0 && errno != EINTR) return -1;
  }
  return (ssize_t)done;
}
#define pread read_fully

/* It would leave the data file open to programs that are started, as a container is. */
#define open(path, flags, mode) open((path), (flags) | O_CLOEXEC, (mode))

#include "midl.c"
#include "mdb.c"
