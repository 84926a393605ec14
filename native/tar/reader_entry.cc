// From a header block to an Entry: names, metadata, the size of the body, sparse maps; see
// reader.h. Where the next header lies is what attacks on tar readers are about (CVE-2025-62518),
// so it is decided in one place, apply_size().
#include <algorithm>
#include <cstring>
#include <string>

#include "tar/reader.h"

namespace ociunpack {
namespace {

constexpr size_t kOldGnuMapOffset = 386;
constexpr size_t kOldGnuMapBytes = 4 * 24;
constexpr size_t kOldGnuExtendedOffset = 482;
constexpr HeaderField kOldGnuRealSizeField{483, 12};
constexpr size_t kExtensionMapBytes = 21 * 24;
constexpr size_t kExtensionExtendedOffset = 504;

// What mknod(2) can express: the kernel's dev_t has 12 bits of major and 20 of minor.
constexpr uint32_t kMaxDevMajor = (1 << 12) - 1;
constexpr uint32_t kMaxDevMinor = (1 << 20) - 1;

// A map of this many extents is not worth keeping memory for.
constexpr size_t kLargeMap = 1 << 12;

}  // namespace

Status TarReader::begin_entry(const uint8_t* block, EntryType type, char type_flag) {
  if (entries_ >= limits_.max_entries) {
    return over_limit("maxEntries", "the layer", entries_ + 1, limits_.max_entries,
                      " or more entries");
  }
  const bool has_fields = has_pax_ || !globals_.empty();
  if (has_fields) {
    if (!globals_.empty()) pax_ = globals_.fields();  // else empty, since the last entry's end
    if (has_pax_) OCIUNPACK_TRY(parse_pax(pax_bytes_, PaxKind::kEntry, limits_, &pax_));
    entry_.xattrs.assign(pax_.xattrs.begin(), pax_.xattrs.end());
  } else {
    entry_.xattrs.clear();
  }
  entry_.has_sparse_map = false;
  if (entry_.sparse_map.capacity() > kLargeMap) entry_.sparse_map = {};
  entry_.sparse_map.clear();
  entry_.index = entries_++;

  Status status = apply_names(block, &type, type_flag);
  entry_.type = type;
  if (status.ok()) status = apply_metadata(block);
  if (status.ok()) status = apply_size(block, type_flag);
  state_ = State::kEntryReady;
  if (status.ok() && type_flag == 'S') status = begin_old_gnu_sparse(block);
  if (status.ok() && has_fields && pax_.sparse.present) status = begin_pax_sparse();
  // They were for this entry and no other; the bytes stay for as long as the entry's views need
  // them.
  if (has_fields) pax_.clear();
  has_pax_ = false;
  long_name_.reset();
  long_link_.reset();
  if (!status.ok() && status.error().path.empty()) status.error().path = entry_.path;
  return status;
}

// Precedence: GNU.sparse.name, the pax path, GNU long name, the header.
Status TarReader::apply_names(const uint8_t* block, EntryType* type, char type_flag) {
  entry_.path = {};
  entry_.linkpath = {};
  if (pax_.sparse_path) {
    entry_.path = *pax_.sparse_path;
  } else if (pax_.path) {
    entry_.path = *pax_.path;
  } else if (pax_.path_taken_away) {
    // POSIX.1-2001: an empty value takes the header's field away too.
  } else if (long_name_) {
    entry_.path = *long_name_;
  } else {
    size_t size = 0;
    if (block[kPrefixField.offset] != 0 && header_format(block) == HeaderFormat::kUstar) {
      const std::string_view prefix = text_field(block, kPrefixField);
      std::memcpy(name_buffer_.data(), prefix.data(), prefix.size());
      size = prefix.size();
      name_buffer_[size++] = '/';
    }
    const std::string_view name = text_field(block, kNameField);
    std::memcpy(name_buffer_.data() + size, name.data(), name.size());
    entry_.path = {name_buffer_.data(), size + name.size()};
  }
  if (entry_.path.empty()) return fail(Code::ERR_INVALID_ENTRY, "an entry with an empty name");
  OCIUNPACK_TRY(check_path_limit(entry_.path, "the path"));
  if (type_flag == '\0' && entry_.path.ends_with('/')) *type = EntryType::kDirectory;

  if (*type != EntryType::kHardlink && *type != EntryType::kSymlink) return {};
  if (pax_.linkpath) {
    entry_.linkpath = *pax_.linkpath;
  } else if (pax_.linkpath_taken_away) {
  } else if (long_link_) {
    entry_.linkpath = *long_link_;
  } else {
    const std::string_view link = text_field(block, kLinkField);
    std::memcpy(link_buffer_.data(), link.data(), link.size());
    entry_.linkpath = {link_buffer_.data(), link.size()};
  }
  if (entry_.linkpath.empty()) return fail(Code::ERR_INVALID_ENTRY, "a link without a target");
  return check_path_limit(entry_.linkpath, "the link target");
}

Status TarReader::check_path_limit(std::string_view path, const char* what) {
  if (path.size() <= limits_.max_path_bytes) [[likely]]
    return {};
  Error error = over_limit("maxPathBytes", what, path.size(), limits_.max_path_bytes, " bytes");
  error.path = std::string(entry_.path.substr(0, 256)) + (entry_.path.size() > 256 ? "..." : "");
  return error;
}

Status TarReader::apply_metadata(const uint8_t* block) {
  uint64_t number = 0;
  OCIUNPACK_TRY(header_number(block, kModeField, "mode", INT64_MAX, &number));
  entry_.mode = number & 07777;
  // 4294967295 is out of range: chown(2) takes it for "leave as it is".
  if (pax_.uid) {
    entry_.uid = *pax_.uid;
  } else {
    OCIUNPACK_TRY(header_number(block, kUidField, "uid", UINT32_MAX - 1, &number));
    entry_.uid = static_cast<uint32_t>(number);
  }
  if (pax_.gid) {
    entry_.gid = *pax_.gid;
  } else {
    OCIUNPACK_TRY(header_number(block, kGidField, "gid", UINT32_MAX - 1, &number));
    entry_.gid = static_cast<uint32_t>(number);
  }
  if (pax_.mtime) {
    entry_.mtime = *pax_.mtime;
  } else {
    // Out of int64 saturates: applying it clamps to the filesystem's range, and reports that.
    const HeaderNumber mtime = parse_number(block, kMtimeField);
    if (mtime.state == HeaderNumber::kInvalid) {
      return fail(Code::ERR_INVALID_ENTRY, "the header's mtime is not a number");
    }
    entry_.mtime = {mtime.value, 0};
  }
  entry_.dev_major = 0;
  entry_.dev_minor = 0;
  if (entry_.type == EntryType::kCharDevice || entry_.type == EntryType::kBlockDevice) {
    uint64_t major_number = pax_.dev_major.value_or(0);
    uint64_t minor_number = pax_.dev_minor.value_or(0);
    if (!pax_.dev_major) {
      OCIUNPACK_TRY(header_number(block, kDevMajorField, "device major", INT64_MAX, &major_number));
    }
    if (!pax_.dev_minor) {
      OCIUNPACK_TRY(header_number(block, kDevMinorField, "device minor", INT64_MAX, &minor_number));
    }
    if (major_number > kMaxDevMajor || minor_number > kMaxDevMinor) {
      return fail(Code::ERR_DEVICE,
                  "device " + std::to_string(major_number) + ":" + std::to_string(minor_number) +
                      " is out of range: at most " + std::to_string(kMaxDevMajor) + ":" +
                      std::to_string(kMaxDevMinor));
    }
    entry_.dev_major = static_cast<uint32_t>(major_number);
    entry_.dev_minor = static_cast<uint32_t>(minor_number);
  }
  return {};
}

// The body's size, and so the place of the next header. The pax size wins over the header's; then:
//  - files ('0' '\0' '7' 'S'): the body is `size` bytes;
//  - symlinks, devices, directories, fifos: no body, whatever `size` says, as in GNU tar's and
//    Python tarfile's extraction, Go's archive/tar and libarchive (POSIX gives a directory's size
//    another meaning);
//  - hard links in an archive with pax headers: the body is `size` bytes, and is content
//    (POSIX.1-2001);
//  - other hard links with a size: some writers put the linked file's size there and no body,
//  others
//    a body. If the next block is a valid header there is none, as GNU tar and tarfile read it;
//    else there is one, which is passed over: in that format it is not content;
//  - a '\0' entry whose name ends in '/' is a directory, and refused with a size: readers disagree.
Status TarReader::apply_size(const uint8_t* block, char type_flag) {
  entry_.size = 0;
  entry_.body_size = 0;
  padding_ = 0;
  doubtful_left_ = 0;
  const bool is_file = entry_.type == EntryType::kFile;
  const bool old_directory = entry_.type == EntryType::kDirectory && type_flag == '\0';
  if (!is_file && !old_directory && entry_.type != EntryType::kHardlink) return {};

  uint64_t size = 0;
  if (pax_.size) {
    size = *pax_.size;
  } else {
    OCIUNPACK_TRY(header_number(block, kSizeField, "size", INT64_MAX, &size));
  }
  if (size == 0) return {};
  // SAFETY: round_to_block() of up to this much stays below 2^63, and so do offsets in the file.
  if (size > INT64_MAX - kBlockBytes) {
    return fail(Code::ERR_INVALID_ENTRY, "the size " + std::to_string(size) + " is out of range");
  }
  if (old_directory) {
    return fail(Code::ERR_INVALID_ENTRY,
                "a directory (a name ending in '/', of type byte 0) with a size of " +
                    std::to_string(size));
  }
  if (!is_file && !pax_archive_) {
    doubtful_left_ = round_to_block(size);
    doubtful_zero_ = true;
    doubtful_started_ = false;
    return {};
  }
  entry_.size = size;
  entry_.body_size = size;
  padding_ = round_to_block(size) - size;
  return {};
}

// A hard link of no pax archive, with a size: the next block tells whether a body follows.
Status TarReader::skip_doubtful_body(std::span<const uint8_t>* input) {
  if (!doubtful_started_) {
    if (block_used_ == 0) header_position_ = position_;
    const uint8_t* block = take_block(input);
    if (!block) return {};
    if (checksum_matches(block)) {
      doubtful_left_ = 0;
      state_ = State::kHeader;
      return read_header(block);
    }
    doubtful_started_ = true;
    doubtful_zero_ = is_zero_block(block);
    doubtful_left_ -= kBlockBytes;
  }
  const size_t size = std::min<uint64_t>(doubtful_left_, input->size());
  if (doubtful_zero_) {
    const auto piece = input->first(size);
    doubtful_zero_ = std::all_of(piece.begin(), piece.end(), [](uint8_t b) { return b == 0; });
  }
  consume(input, size);
  doubtful_left_ -= size;
  if (doubtful_left_ == 0) state_ = State::kHeader;
  return {};
}

Status TarReader::begin_pax_sparse() {
  PaxSparse& sparse = pax_.sparse;
  if (entry_.type != EntryType::kFile || entry_.has_sparse_map) {
    return fail(Code::ERR_INVALID_ENTRY, "GNU.sparse records on what is not a plain file");
  }
  const uint64_t major = sparse.major.value_or(0);
  const uint64_t minor = sparse.minor.value_or(0);
  const bool text_map = major == 1 && minor == 0;
  if (!text_map && (major != 0 || minor > 1)) {
    return fail(Code::ERR_INVALID_ENTRY, "GNU.sparse version " + std::to_string(major) + "." +
                                             std::to_string(minor) + " is unknown");
  }
  if (!sparse.file_size) {
    return fail(Code::ERR_INVALID_ENTRY, "GNU.sparse records without the file's size");
  }
  entry_.has_sparse_map = true;
  entry_.size = *sparse.file_size;
  if (text_map) {
    if (sparse.has_list || sparse.has_pairs) {
      return fail(Code::ERR_INVALID_ENTRY, "GNU.sparse version 1.0 with a map of another version");
    }
    sparse_text_.start(entry_.body_size, limits_.max_sparse_entries, &entry_.sparse_map);
    state_ = State::kSparseText;
    return {};
  }
  if (!sparse.has_list && !sparse.has_pairs && sparse.entry_count != uint64_t{0}) {
    return fail(Code::ERR_INVALID_ENTRY, "GNU.sparse records without a map");
  }
  if (sparse.entry_count && *sparse.entry_count != sparse.map.size()) {
    return fail(Code::ERR_INVALID_ENTRY,
                "GNU.sparse.numblocks is " + std::to_string(*sparse.entry_count) +
                    ", but the map has " + std::to_string(sparse.map.size()) + " entries");
  }
  entry_.sparse_map = std::move(sparse.map);
  return finish_sparse_map();
}

Status TarReader::begin_old_gnu_sparse(const uint8_t* block) {
  // star's 'S' has another layout, and no writer of images makes it.
  if (header_format(block) != HeaderFormat::kGnu) {
    return fail(Code::ERR_INVALID_ENTRY, "a sparse file (type 'S') in a header that is not GNU's");
  }
  uint64_t size = 0;
  OCIUNPACK_TRY(header_number(block, kOldGnuRealSizeField, "real size", INT64_MAX, &size));
  entry_.has_sparse_map = true;
  entry_.size = size;
  const bool extended = block[kOldGnuExtendedOffset] != 0;
  OCIUNPACK_ASSIGN(const bool more,
                   read_old_gnu_extents({block + kOldGnuMapOffset, kOldGnuMapBytes},
                                        limits_.max_sparse_entries, &entry_.sparse_map));
  if (!extended) return finish_sparse_map();
  // Readers disagree on whether extension blocks follow a list that has ended.
  if (!more) return fail(Code::ERR_INVALID_ENTRY, "a sparse map that goes on after its end");
  state_ = State::kSparseBlocks;
  return {};
}

Status TarReader::read_sparse_block(const uint8_t* block) {
  OCIUNPACK_ASSIGN(const bool more,
                   read_old_gnu_extents({block, kExtensionMapBytes}, limits_.max_sparse_entries,
                                        &entry_.sparse_map));
  if (block[kExtensionExtendedOffset] == 0) return finish_sparse_map();
  if (!more) return fail(Code::ERR_INVALID_ENTRY, "a sparse map that goes on after its end");
  return {};
}

Status TarReader::finish_sparse_map() {
  OCIUNPACK_TRY(check_sparse_map(entry_.size, entry_.body_size, &entry_.sparse_map));
  state_ = State::kEntryReady;
  return {};
}

Status TarReader::header_number(const uint8_t* block, HeaderField field, const char* name,
                                uint64_t max, uint64_t* number) {
  const HeaderNumber parsed = parse_number(block, field);
  if (parsed.state == HeaderNumber::kValid && parsed.value >= 0 &&
      static_cast<uint64_t>(parsed.value) <= max) [[likely]] {
    *number = static_cast<uint64_t>(parsed.value);
    return {};
  }
  return fail(
      Code::ERR_INVALID_ENTRY,
      parsed.state == HeaderNumber::kInvalid
          ? std::string("the header's ") + name + " is not a number"
          : std::string("the header's ") + name + " is out of range: 0 to " + std::to_string(max));
}

}  // namespace ociunpack
