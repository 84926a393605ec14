// Creating what is not a directory: one entry of the tar in as few system calls as its metadata
// allows. Everything is relative to an open directory, never follows a symlink and never opens what
// is already there. The order of the calls is SEMANTICS.md's "Metadata, in this order".
//
// Why it is fast: the mode goes into openat(2) (the workers' umask is 0), the owner is set only
// where it differs from ours, the times while the file is open: an ordinary file of root's is
// openat, write, futimens, close. All functions may be called from any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "apply/attributes.h"
#include "apply/context.h"
#include "apply/dir_cache.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "digest/crc32c.h"

namespace ociunpack {

// Content of a file, somewhere in a slab.
struct DataPiece {
  const uint8_t* data = nullptr;
  size_t size = 0;
  uint64_t file_offset = 0;
};

// A whole file. The pieces are in order of their offsets; what they leave out is a hole.
// `checksum`, unless null, is given the content's: the bytes are in the processor's cache now.
Status create_file(const ApplyContext& context, const DirHandle& directory, std::string_view name,
                   const Attributes& attributes, uint64_t file_size,
                   std::span<const DataPiece> pieces, uint32_t* checksum = nullptr);

// create_file() in two steps, so that several files of a directory can be opened at a time, and
// then filled. `fd` is what open_file() gave.
Result<UniqueFd> open_file(const DirHandle& directory, std::string_view name,
                           const Attributes& attributes);
Status fill_file(const ApplyContext& context, const DirHandle& directory, std::string_view name,
                 const Attributes& attributes, UniqueFd fd, uint64_t file_size,
                 std::span<const DataPiece> pieces, uint32_t* checksum = nullptr);

// Nanoseconds that the calling thread has spent in openat(2) and mknod(2) for files, since it last
// asked; the rest of its time went into content and metadata.
uint64_t take_create_nanoseconds();

// A file whose content comes in parts, in order of their offsets. One thread at a time; `context`
// outlives it, and so does `checksum`, which finish() sets unless it is null.
class FileWriter {
 public:
  static Result<FileWriter> open(const ApplyContext& context, DirRef directory,
                                 std::string_view name, const Attributes& attributes,
                                 uint32_t* checksum = nullptr);
  Status write(const DataPiece& piece);
  // Shares the whole content of `from` where the file system can (ioctl_ficlone(2)), before
  // anything is written; false where it cannot. Not where a checksum is wanted.
  bool clone_from(int from);
  Status finish(uint64_t file_size);

 private:
  FileWriter(const ApplyContext& context, DirRef directory, std::string_view name,
             const Attributes& attributes, UniqueFd fd, uint32_t* checksum)
      : context_(&context),
        directory_(std::move(directory)),
        name_(name),
        attributes_(attributes),
        fd_(std::move(fd)),
        checksum_(checksum) {}

  const ApplyContext* context_;
  DirRef directory_;
  std::string name_;
  Attributes attributes_;
  UniqueFd fd_;
  uint64_t end_ = 0;  // of what has been written
  uint32_t* checksum_;
  ContentChecksum content_;
};

Status create_symlink(const ApplyContext& context, const DirHandle& directory,
                      std::string_view name, std::string_view target, const Attributes& attributes);

// `type` is S_IFCHR or S_IFBLK. Where mknod(2) is not permitted the policy `devices` decides.
Status create_device(const ApplyContext& context, const DirHandle& directory, std::string_view name,
                     mode_t type, uint32_t major, uint32_t minor, const Attributes& attributes);

// ERR_DEVICE where the policy `devices` refuses any device. create_device() does it itself.
Status check_device(const ApplyContext& context, const std::string& path, uint32_t major,
                    uint32_t minor);

Status create_fifo(const ApplyContext& context, const DirHandle& directory, std::string_view name,
                   const Attributes& attributes);

}  // namespace ociunpack
