// UniqueFd: owns one file descriptor and closes it once.
#pragma once

#include <unistd.h>

#include <utility>

namespace ociunpack {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

  // Closes and forgets. Errors are ignored: a descriptor that was written is closed by close().
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  // Closes; returns 0 or the errno of close(2), which may be the only sign of a failed write (NFS,
  // quota). The descriptor is gone either way (Linux frees it before it reports an error).
  int close() {
    if (fd_ < 0) return 0;
    return ::close(std::exchange(fd_, -1)) == 0 ? 0 : errno_of_close();
  }

 private:
  static int errno_of_close();
  int fd_ = -1;
};

}  // namespace ociunpack
