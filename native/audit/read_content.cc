#include "audit/read_content.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "digest/crc32c.h"

namespace ociunpack {
namespace {

// Small enough to be in the processor's cache still when it is summed.
constexpr size_t kBufferBytes = 256 << 10;

// The next range of data at or after `at`; false where there is none before `to`.
bool next_data(int fd, uint64_t at, uint64_t to, uint64_t* start, uint64_t* end) {
  *start = at;
  *end = to;
  const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
  if (data < 0) return errno != ENXIO;  // no support for holes: all is data
  const off_t hole = ::lseek(fd, data, SEEK_HOLE);
  *start = static_cast<uint64_t>(data);
  if (hole >= 0) *end = std::min(to, static_cast<uint64_t>(hole));
  return *start < to;
}

}  // namespace

ReadContent read_content(int fd, uint64_t from, uint64_t to, bool sparse,
                         const std::atomic<bool>& cancelled, std::atomic<uint64_t>* bytes_read) {
  thread_local const std::unique_ptr<uint8_t[]> buffer =
      std::make_unique_for_overwrite<uint8_t[]>(kBufferBytes);
  ReadContent content;
  ContentChecksum checksum;
  uint64_t at = from;
  while (at < to) {
    uint64_t end = to;
    if (sparse && !next_data(fd, at, to, &at, &end)) {
      // Only a hole is left: but is it one of the file, or has the file become shorter?
      const off_t size = ::lseek(fd, 0, SEEK_END);
      at = size < 0 ? from : std::max(from, std::min(to, static_cast<uint64_t>(size)));
      break;
    }
    while (at < end) {
      if (cancelled.load(std::memory_order_relaxed)) {
        content.error = ECANCELED;
        return content;
      }
      const size_t want = std::min<uint64_t>(kBufferBytes, end - at);
      const ssize_t got = ::pread(fd, buffer.get(), want, static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        content.error = errno;
        return content;
      }
      if (got == 0) {  // it has become shorter
        to = end = at;
        break;
      }
      checksum.add(at - from, {buffer.get(), static_cast<size_t>(got)});
      at += static_cast<uint64_t>(got);
      bytes_read->fetch_add(static_cast<uint64_t>(got), std::memory_order_relaxed);
    }
  }
  content.bytes = at - from;
  content.crc32c = checksum.finish(content.bytes);
  return content;
}

}  // namespace ociunpack
