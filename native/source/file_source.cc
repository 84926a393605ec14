#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "source/source.h"

namespace ociunpack {
namespace {

// read(2) transfers at most this much in one call anyway.
constexpr size_t kMaxRead = size_t{1} << 30;

}  // namespace

Result<FileSource> FileSource::open(const std::string& path, uint64_t offset, int64_t length) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) return system_error(errno, "open", path);
  return adopt(std::move(fd), path, offset, length);
}

Result<FileSource> FileSource::from_fd(int fd, uint64_t offset, int64_t length) {
  const std::string label = "fd " + std::to_string(fd);
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return system_error(errno, "fcntl", label, "F_DUPFD_CLOEXEC");
  return adopt(std::move(copy), label, offset, length);
}

Result<FileSource> FileSource::adopt(UniqueFd fd, std::string path, uint64_t offset,
                                     int64_t length) {
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) return system_error(errno, "fstat", path);
  // open(2) lets a directory be opened for reading; only read(2) would refuse it.
  if (S_ISDIR(status.st_mode)) return system_error(EISDIR, "open", path);
  if (offset > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
      (length >= 0 && static_cast<uint64_t>(length) >
                          static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) - offset)) {
    return input_error(Code::ERR_INVALID_ARGUMENT, "open", path,
                       "the window's offset and length are out of range");
  }
  FileSource source;
  source.seekable_ = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode);
  if (!source.seekable_ && offset != 0) {
    return system_error(ESPIPE, "pread", path, "offset " + std::to_string(offset));
  }
  if (S_ISREG(status.st_mode)) {
    const auto size = static_cast<uint64_t>(status.st_size);
    const uint64_t end = length < 0 ? size : offset + static_cast<uint64_t>(length);
    if (offset > size || end > size) {
      return input_error(
          Code::ERR_TRUNCATED, "open", path,
          "the file has " + std::to_string(size) + " bytes, and the blob should be " +
              (length < 0 ? "from byte " + std::to_string(offset)
                          : "bytes " + std::to_string(offset) + " to " + std::to_string(end)));
    }
    source.end_ = end;
    // Doubles the read-ahead window (posix_fadvise(2)); a hint, so its failure does not matter.
    ::posix_fadvise(fd.get(), static_cast<off_t>(offset), static_cast<off_t>(end - offset),
                    POSIX_FADV_SEQUENTIAL);
  } else if (length >= 0) {
    source.end_ = offset + static_cast<uint64_t>(length);
  }
  source.fd_ = std::move(fd);
  source.path_ = std::move(path);
  source.begin_ = offset;
  source.position_ = offset;
  return source;
}

Result<size_t> FileSource::read(std::span<uint8_t> out) {
  size_t filled = 0;
  while (filled < out.size()) {
    size_t wanted = std::min(out.size() - filled, kMaxRead);
    if (end_) wanted = static_cast<size_t>(std::min<uint64_t>(wanted, *end_ - position_));
    if (wanted == 0) break;
    const ssize_t got =
        seekable_ ? ::pread(fd_.get(), out.data() + filled, wanted, static_cast<off_t>(position_))
                  : ::read(fd_.get(), out.data() + filled, wanted);
    if (got < 0) {
      if (errno == EINTR) continue;
      return system_error(errno, seekable_ ? "pread" : "read", path_,
                          "offset " + std::to_string(position_));
    }
    if (got == 0) {
      if (!end_) break;
      return input_error(Code::ERR_TRUNCATED, "read", path_,
                         "the file ends at byte " + std::to_string(position_) +
                             ", and the blob should end at byte " + std::to_string(*end_));
    }
    filled += static_cast<size_t>(got);
    position_ += static_cast<uint64_t>(got);
    // What a pipe has is given on at once: waiting for more would only hold up the decoder.
    if (!seekable_) break;
  }
  return filled;
}

std::optional<uint64_t> FileSource::size() const {
  if (!end_) return {};
  return *end_ - begin_;
}

}  // namespace ociunpack
