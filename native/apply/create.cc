#include "apply/create.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>

#include "apply/metadata.h"
#include "apply/name.h"
#include "apply/set_mode.h"
#include "apply/usage_count.h"
#include "base/clock.h"
#include "base/sys.h"

namespace ociunpack {
namespace {

constexpr uint32_t kSpecialBits = 07000;

thread_local uint64_t create_nanoseconds = 0;

// Adds the time of its scope, some 50 ns for two readings of the clock (vDSO), to the thread's sum.
class CreateTimer {
 public:
  ~CreateTimer() { create_nanoseconds += nanoseconds_since(start_); }

 private:
  Clock::time_point start_ = Clock::now();
};

// openat(2) and mknod(2) have set the permission bits under the workers' umask of 0.
bool needs_chmod(const ApplyContext& context, const Attributes& attributes) {
  return (attributes.mode & kSpecialBits) != 0 || !attributes.xattrs.empty() ||
         !context.umask_private;
}

Status write_all(int fd, const Subject& subject, const uint8_t* data, size_t size,
                 uint64_t offset) {
  while (size > 0) {
    const ssize_t written = sys::pwrite(fd, data, size, static_cast<off_t>(offset));
    if (written < 0) return system_error(errno, "pwrite", subject.path());
    data += written;
    size -= static_cast<size_t>(written);
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

// Adjacent pieces in one call; what lies between the others stays a hole.
Status write_pieces(int fd, const Subject& subject, std::span<const DataPiece> pieces,
                    uint64_t* end) {
  std::array<iovec, 16> batch;
  for (size_t i = 0; i < pieces.size();) {
    size_t count = 0;
    size_t bytes = 0;
    const uint64_t offset = pieces[i].file_offset;
    while (i + count < pieces.size() && count < batch.size() &&
           pieces[i + count].file_offset == offset + bytes) {
      // SAFETY: pwritev(2) only reads; iovec has no const form.
      batch[count] = {const_cast<uint8_t*>(pieces[i + count].data), pieces[i + count].size};
      bytes += pieces[i + count].size;
      ++count;
    }
    if (count == 1) {
      OCIUNPACK_TRY(write_all(fd, subject, pieces[i].data, pieces[i].size, offset));
    } else {
      const ssize_t written =
          sys::pwritev(fd, batch.data(), static_cast<int>(count), static_cast<off_t>(offset));
      if (written < 0) return system_error(errno, "pwritev", subject.path());
      // A short write: the rest piece by piece.
      auto done = static_cast<size_t>(written);
      for (size_t k = 0; k < count && static_cast<size_t>(written) < bytes; ++k) {
        const DataPiece& piece = pieces[i + k];
        const size_t skip = std::min(done, piece.size);
        done -= skip;
        OCIUNPACK_TRY(
            write_all(fd, subject, piece.data + skip, piece.size - skip, piece.file_offset + skip));
      }
    }
    *end = std::max(*end, offset + bytes);
    i += count;
  }
  return {};
}

// Everything after the content, and the close. `in_parts`: several writes have made the file
// longer.
Status finish_file(const ApplyContext& context, const Subject& subject, UniqueFd fd,
                   const Attributes& attributes, uint64_t written_to, uint64_t file_size,
                   bool in_parts) {
  if (written_to < file_size &&
      sys::ftruncate(fd.get(), static_cast<off_t>(file_size)) != 0) {  // a hole at the end
    return system_error(errno, "ftruncate", subject.path());
  }
  // chown(2) clears the set-id bits and security.capability: before both.
  if (owner_differs(context, attributes, context.euid, context.egid)) {
    OCIUNPACK_TRY(set_owner(context, subject, attributes));
  }
  // While the file is still writable to us, and before the times, which they do not change but a
  // later write might.
  if (!attributes.xattrs.empty()) OCIUNPACK_TRY(set_xattrs(context, subject, attributes.xattrs));
  // Also after xattrs: a POSIX ACL sets permission bits of its own, and the tar's mode wins.
  if (needs_chmod(context, attributes)) {
    OCIUNPACK_TRY(set_mode(fd.get(), attributes.mode, subject.path()));
  }
  OCIUNPACK_TRY(set_times(context, subject, attributes.mtime));
  if (!in_parts) OCIUNPACK_TRY(count_usage(context, subject));
  if (const int error = fd.close()) return system_error(error, "close", subject.path());
  // xfs reserves blocks behind a file that grows, and frees them when it is closed.
  if (in_parts) OCIUNPACK_TRY(count_usage(context, Subject{subject.directory, subject.name}));
  return {};
}

// Metadata of what is not opened: symlinks (which have no mode), devices and fifos.
Status finish_special(const ApplyContext& context, const DirHandle& directory,
                      std::string_view name, const Attributes& attributes, bool has_mode) {
  const Subject subject{directory, name};
  if (owner_differs(context, attributes, context.euid, context.egid)) {
    OCIUNPACK_TRY(set_owner(context, subject, attributes));
  }
  if (!attributes.xattrs.empty()) OCIUNPACK_TRY(set_xattrs(context, subject, attributes.xattrs));
  if (has_mode && needs_chmod(context, attributes)) {
    OCIUNPACK_TRY(
        set_mode_at(directory.fd.get(), CName(name).c_str(), attributes.mode, subject.path()));
  }
  OCIUNPACK_TRY(set_times(context, subject, attributes.mtime));
  return count_usage(context, subject);
}

std::string device_numbers(uint32_t major, uint32_t minor) {
  return std::to_string(major) + ":" + std::to_string(minor);
}

}  // namespace

Result<UniqueFd> open_file(const DirHandle& directory, std::string_view name,
                           const Attributes& attributes) {
  // O_EXCL and O_NOFOLLOW: a file is never written through something that is already there. Special
  // bits come at the end: chown(2) would clear them, and until then it would run as its owner.
  uint32_t mode = attributes.mode & ~kSpecialBits;
  // Without privileges, user.* can only be set on what its owner may write (xattr(7)).
  if (!attributes.xattrs.empty()) mode |= S_IWUSR;
  const CreateTimer timer;
  UniqueFd fd(sys::openat(directory.fd.get(), CName(name).c_str(),
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  if (!fd.valid()) return system_error(errno, "openat", path_in(directory, name));
  return fd;
}

uint64_t take_create_nanoseconds() { return std::exchange(create_nanoseconds, 0); }

Status create_file(const ApplyContext& context, const DirHandle& directory, std::string_view name,
                   const Attributes& attributes, uint64_t file_size,
                   std::span<const DataPiece> pieces, uint32_t* checksum) {
  const bool plain = attributes.xattrs.empty() && context.umask_private &&
                     (attributes.mode & kSpecialBits) == 0 &&
                     !owner_differs(context, attributes, context.euid, context.egid);
  if (file_size == 0 && plain) {
    if (checksum != nullptr) *checksum = ContentChecksum().finish(0);
    // mknod(2) makes an empty file without opening it: two calls instead of three.
    const CreateTimer timer;
    if (sys::mknodat(directory.fd.get(), CName(name).c_str(), S_IFREG | attributes.mode, 0) != 0) {
      return system_error(errno, "mknodat", path_in(directory, name));
    }
    const Subject subject{directory, name};
    OCIUNPACK_TRY(set_times(context, subject, attributes.mtime));
    return count_usage(context, subject);
  }
  OCIUNPACK_ASSIGN(UniqueFd fd, open_file(directory, name, attributes));
  return fill_file(context, directory, name, attributes, std::move(fd), file_size, pieces,
                   checksum);
}

Status fill_file(const ApplyContext& context, const DirHandle& directory, std::string_view name,
                 const Attributes& attributes, UniqueFd fd, uint64_t file_size,
                 std::span<const DataPiece> pieces, uint32_t* checksum) {
  if (checksum != nullptr) {
    ContentChecksum content;
    for (const DataPiece& piece : pieces) {
      content.add(piece.file_offset, {piece.data, piece.size});
    }
    *checksum = content.finish(file_size);
  }
  const Subject subject{directory, name, fd.get()};
  uint64_t end = 0;
  OCIUNPACK_TRY(write_pieces(fd.get(), subject, pieces, &end));
  return finish_file(context, subject, std::move(fd), attributes, end, file_size,
                     /*in_parts=*/false);
}

Result<FileWriter> FileWriter::open(const ApplyContext& context, DirRef directory,
                                    std::string_view name, const Attributes& attributes,
                                    uint32_t* checksum) {
  OCIUNPACK_ASSIGN(UniqueFd fd, open_file(*directory, name, attributes));
  return FileWriter(context, std::move(directory), name, attributes, std::move(fd), checksum);
}

Status FileWriter::write(const DataPiece& piece) {
  if (checksum_ != nullptr) content_.add(piece.file_offset, {piece.data, piece.size});
  return write_pieces(fd_.get(), Subject{*directory_, name_, fd_.get()}, {&piece, 1}, &end_);
}

bool FileWriter::clone_from(int from) {
  if (checksum_ != nullptr || ::ioctl(fd_.get(), FICLONE, from) != 0) return false;
  end_ = UINT64_MAX;
  return true;
}

Status FileWriter::finish(uint64_t file_size) {
  if (checksum_ != nullptr) *checksum_ = content_.finish(file_size);
  const Subject subject{*directory_, name_, fd_.get()};
  return finish_file(*context_, subject, std::move(fd_), attributes_, end_, file_size,
                     /*in_parts=*/true);
}

Status create_symlink(const ApplyContext& context, const DirHandle& directory,
                      std::string_view name, std::string_view target,
                      const Attributes& attributes) {
  if (target.empty()) {  // symlink(2) would say ENOENT
    return input_error(Code::ERR_INVALID_ENTRY, "symlink", path_in(directory, name),
                       "a symlink without a target");
  }
  if (sys::symlinkat(std::string(target).c_str(), directory.fd.get(), CName(name).c_str()) != 0) {
    return system_error(errno, "symlinkat", path_in(directory, name));
  }
  return finish_special(context, directory, name, attributes, /*has_mode=*/false);
}

Status check_device(const ApplyContext& context, const std::string& path, uint32_t major,
                    uint32_t minor) {
  if (context.policies.devices != DeviceMode::kError) return {};
  return input_error(
      Code::ERR_DEVICE, "mknod", path,
      "the layer has a device " + device_numbers(major, minor) + " (devices: 'error')");
}

Status create_device(const ApplyContext& context, const DirHandle& directory, std::string_view name,
                     mode_t type, uint32_t major, uint32_t minor, const Attributes& attributes) {
  if (context.policies.devices == DeviceMode::kError) {
    return check_device(context, path_in(directory, name), major, minor);
  }
  const std::string numbers = device_numbers(major, minor);
  if (sys::mknodat(directory.fd.get(), CName(name).c_str(), type | (attributes.mode & 0777),
                   makedev(major, minor)) != 0) {
    const int error = errno;
    if (error != EPERM) return system_error(error, "mknodat", path_in(directory, name), numbers);
    if (context.policies.devices == DeviceMode::kSkip) {
      context.notes->add({"device-skipped", path_in(directory, name), numbers});
      return {};
    }
    Error failed = system_error(error, "mknodat", path_in(directory, name),
                                numbers +
                                    " is not permitted here; devices: 'skip' goes on "
                                    "without it");
    failed.code = Code::ERR_DEVICE;
    return failed;
  }
  return finish_special(context, directory, name, attributes, /*has_mode=*/true);
}

Status create_fifo(const ApplyContext& context, const DirHandle& directory, std::string_view name,
                   const Attributes& attributes) {
  if (sys::mknodat(directory.fd.get(), CName(name).c_str(), S_IFIFO | (attributes.mode & 0777),
                   0) != 0) {
    return system_error(errno, "mknodat", path_in(directory, name));
  }
  return finish_special(context, directory, name, attributes, /*has_mode=*/true);
}

}  // namespace ociunpack
