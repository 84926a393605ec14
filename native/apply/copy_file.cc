#include "apply/copy_file.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <vector>

#include "apply/set_mode.h"
#include "base/sys.h"
#include "base/xattrs.h"

namespace ociunpack {
namespace {

// Bytes between two looks at `cancelled`.
constexpr size_t kPiece = size_t{64} << 20;
constexpr size_t kBuffer = size_t{1} << 20;

class ContentCopy {
 public:
  ContentCopy(int from, int to, const std::string& path, const std::atomic<bool>* cancelled)
      : from_(from), to_(to), path_(path), cancelled_(cancelled) {}

  Status range(uint64_t offset, uint64_t end) {
    while (offset < end) {
      if (cancelled_ != nullptr && cancelled_->load(std::memory_order_relaxed)) {
        return input_error(Code::ERR_ABORTED, "copy", path_, "cancelled");
      }
      if (in_kernel_) {
        auto from_offset = static_cast<off_t>(offset);
        auto to_offset = from_offset;
        const ssize_t copied = ::copy_file_range(from_, &from_offset, to_, &to_offset,
                                                 std::min<uint64_t>(end - offset, kPiece), 0);
        if (copied > 0) {
          offset += static_cast<uint64_t>(copied);
          continue;
        }
        if (copied < 0 && errno == EINTR) continue;
        // 0: some file systems that make up their content; the rest: not between these two.
        if (copied < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS &&
            errno != EOPNOTSUPP && errno != EPERM) {
          return system_error(errno, "copy_file_range", path_);
        }
        in_kernel_ = false;
      }
      OCIUNPACK_TRY(through_memory(&offset, end));
    }
    return {};
  }

 private:
  Status through_memory(uint64_t* offset, uint64_t end) {
    buffer_.resize(kBuffer);
    const ssize_t got = ::pread(from_, buffer_.data(), std::min<uint64_t>(kBuffer, end - *offset),
                                static_cast<off_t>(*offset));
    if (got < 0 && errno == EINTR) return {};
    if (got < 0) return system_error(errno, "pread", path_);
    if (got == 0) {
      return input_error(Code::ERR_IO, "copy", path_, "became shorter while it was copied");
    }
    for (size_t done = 0; done < static_cast<size_t>(got);) {
      const ssize_t put = sys::pwrite(to_, buffer_.data() + done, static_cast<size_t>(got) - done,
                                      static_cast<off_t>(*offset + done));
      if (put < 0) return system_error(errno, "pwrite", path_);
      done += static_cast<size_t>(put);
    }
    *offset += static_cast<uint64_t>(got);
    return {};
  }

  const int from_;
  const int to_;
  const std::string& path_;
  const std::atomic<bool>* cancelled_;
  bool in_kernel_ = true;
  std::vector<uint8_t> buffer_;
};

// Not a label of this host's policy, which the kernel gives to the copy by its own rules.
bool is_copied(std::string_view name) { return name != "security.selinux"; }

bool is_overlay_mark(std::string_view name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

Status copy_xattrs(const CopyEnd& from, const CopyEnd& to, bool overlay_marks) {
  const bool is_open = from.fd >= 0;
  return for_each_xattr(
      is_open ? from.fd : from.directory, is_open ? std::string_view() : from.name, from.path,
      is_copied, [&](const char* name, std::string_view value) -> Status {
        if (!overlay_marks && is_overlay_mark(name)) return {};
        const int result = to.fd >= 0 ? sys::fsetxattr(to.fd, name, value.data(), value.size())
                                      : sys::lsetxattr(magic_path(to.directory, to.name).c_str(),
                                                       name, value.data(), value.size());
        if (result == 0) return {};
        Error failed = system_error(errno, "setxattr", to.path, name);
        if (failed.error_number == ENOTSUP) failed.code = Code::ERR_XATTR_UNSUPPORTED;
        return failed;
      });
}

}  // namespace

Result<CopiedContent> copy_file_content(int from, int to, uint64_t size, const std::string& path,
                                        const std::atomic<bool>* cancelled) {
  if (size == 0) return CopiedContent{};
  if (::ioctl(to, FICLONE, from) == 0) return CopiedContent{true, 0};
  ContentCopy copy(from, to, path, cancelled);
  uint64_t copied = 0;
  uint64_t end = 0;
  while (end < size) {
    const off_t data = ::lseek(from, static_cast<off_t>(end), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // only a hole is left
    const uint64_t start = data < 0 ? end : static_cast<uint64_t>(data);
    const off_t hole = data < 0 ? -1 : ::lseek(from, data, SEEK_HOLE);
    // A file system without holes: all of it is data.
    end = hole < 0 ? size : std::min<uint64_t>(static_cast<uint64_t>(hole), size);
    if (start >= end) break;  // the file became shorter
    OCIUNPACK_TRY(copy.range(start, end));
    copied += end - start;
  }
  // A hole at the end; no change where the last byte was data.
  if (sys::ftruncate(to, static_cast<off_t>(size)) != 0) {
    return system_error(errno, "ftruncate", path);
  }
  return CopiedContent{false, copied};
}

Status copy_metadata(const CopyEnd& from, const CopyEnd& to, const struct stat& status,
                     bool overlay_marks) {
  struct stat made {};
  const int looked = to.fd >= 0 ? ::fstat(to.fd, &made)
                                : ::fstatat(to.directory, to.name, &made, AT_SYMLINK_NOFOLLOW);
  if (looked != 0) return system_error(errno, "fstatat", to.path);
  if (made.st_uid != status.st_uid || made.st_gid != status.st_gid) {
    const int result = to.fd >= 0
                           ? sys::fchown(to.fd, status.st_uid, status.st_gid)
                           : sys::fchownat(to.directory, to.name, status.st_uid, status.st_gid);
    if (result != 0) return system_error(errno, "chown", to.path);
  }
  OCIUNPACK_TRY(copy_xattrs(from, to, overlay_marks));
  if (!S_ISLNK(status.st_mode)) {
    // Also where the mode is right already: an ACL may just have changed its group bits.
    const mode_t mode = status.st_mode & 07777;
    OCIUNPACK_TRY(to.fd >= 0 ? set_mode(to.fd, mode, to.path)
                             : set_mode_at(to.directory, to.name, mode, to.path));
  }
  const timespec times[2] = {status.st_atim, status.st_mtim};
  const int result =
      to.fd >= 0 ? sys::futimens(to.fd, times) : sys::utimensat(to.directory, to.name, times);
  if (result != 0) return system_error(errno, "utimensat", to.path);
  return {};
}

}  // namespace ociunpack
