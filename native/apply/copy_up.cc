#include "apply/copy_up.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <vector>

#include "apply/create.h"
#include "apply/name.h"
#include "apply/root_dir.h"
#include "base/open_to_read.h"
#include "base/sys.h"

namespace ociunpack {
namespace {

// Copies [offset, end) of the lower file through memory.
Status copy_bytes(int from, FileWriter* to, uint64_t offset, uint64_t end,
                  const std::string& path) {
  std::vector<uint8_t> buffer(1 << 20);
  while (offset < end) {
    const size_t want = std::min<uint64_t>(buffer.size(), end - offset);
    const ssize_t got = ::pread(from, buffer.data(), want, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "pread", path);
    if (got == 0) {
      return input_error(Code::ERR_IO, "copy up", path, "the lower layer's file became shorter");
    }
    OCIUNPACK_TRY(to->write({buffer.data(), static_cast<size_t>(got), offset}));
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

Status copy_content(int from, FileWriter* to, uint64_t size, const std::string& path) {
  if (to->clone_from(from)) return {};
  for (uint64_t at = 0; at < size;) {
    const off_t data = ::lseek(from, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};                  // only a hole is left
    if (data < 0) return copy_bytes(from, to, at, size, path);  // no support for holes
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    const uint64_t end = hole < 0 ? size : std::min<uint64_t>(static_cast<uint64_t>(hole), size);
    OCIUNPACK_TRY(copy_bytes(from, to, static_cast<uint64_t>(data), end, path));
    at = end;
  }
  return {};
}

}  // namespace

Status copy_up(const ApplyContext& context, int lower_root_fd, const std::string& lower_path,
               const DirHandle& to, std::string_view name, const Attributes& attributes,
               uint32_t* checksum) {
  OCIUNPACK_ASSIGN(const RootDir root, RootDir::from_fd(lower_root_fd));
  const size_t slash = lower_path.rfind('/');
  const std::string parent = slash == std::string::npos ? "" : lower_path.substr(0, slash);
  const std::string base = slash == std::string::npos ? lower_path : lower_path.substr(slash + 1);
  OCIUNPACK_ASSIGN(const UniqueFd directory, root.open_directory(parent));
  struct stat status {};
  if (::fstatat(directory.get(), base.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return system_error(errno, "fstatat", lower_path, "of the lower layer");
  }
  switch (status.st_mode & S_IFMT) {
    case S_IFREG:
      break;
    case S_IFLNK: {
      std::string target(static_cast<size_t>(status.st_size) + 1, '\0');
      const ssize_t length =
          ::readlinkat(directory.get(), base.c_str(), target.data(), target.size());
      if (length < 0) return system_error(errno, "readlinkat", lower_path);
      target.resize(static_cast<size_t>(length));
      return create_symlink(context, to, name, target, attributes);
    }
    case S_IFCHR:
    case S_IFBLK:
      return create_device(context, to, name, status.st_mode & S_IFMT, major(status.st_rdev),
                           minor(status.st_rdev), attributes);
    case S_IFIFO:
      return create_fifo(context, to, name, attributes);
    default:
      return input_error(Code::ERR_INVALID_ENTRY, "copy up", lower_path,
                         "what the hardlink points to in the lower layer cannot be linked");
  }
  const UniqueFd from = open_to_read(directory.get(), base.c_str(), O_RDONLY);
  if (!from.valid()) return system_error(errno, "openat", lower_path, "of the lower layer");
  // SAFETY: the writer does not outlive `to`.
  OCIUNPACK_ASSIGN(FileWriter writer,
                   FileWriter::open(context, DirRef(DirRef(), &to), name, attributes, checksum));
  const auto size = static_cast<uint64_t>(status.st_size);
  OCIUNPACK_TRY(copy_content(from.get(), &writer, size, lower_path));
  return writer.finish(size);
}

}  // namespace ociunpack
