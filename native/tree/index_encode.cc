// Writing an index file. A layer may name a million paths, and nothing else is left to do while its
// index is written. So the nodes are taken in the order of their numbers, as they lie in memory,
// and what is encoded leaves in pieces that stay in the caches: summed up and written there.
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "tree/index.h"
#include "tree/index_format.h"

namespace ociunpack {
namespace {

using namespace index_format;

constexpr size_t kPieceBytes = 256 << 10;
constexpr uint32_t kNone = UINT32_MAX;

// A record of a known size, field by field.
class Record {
 public:
  explicit Record(char* bytes) : next_(bytes) {}

  // SAFETY: whoever made the room has counted the fields.
  template <typename T>
  Record& number(T value) {
    std::memcpy(next_, &value, sizeof value);
    next_ += sizeof value;
    return *this;
  }
  // Where `text` lies in the strings, which are written in the order of the records.
  Record& place_of(std::string_view text, uint64_t* strings) {
    number<uint64_t>(*strings);
    *strings += text.size();
    return number<uint32_t>(static_cast<uint32_t>(text.size()));
  }

 private:
  char* next_;
};

// Gathers pieces, and hands each on as it is full.
class Pieces {
 public:
  using Sink = std::function<Status(std::string_view)>;
  explicit Pieces(Sink sink)
      : sink_(std::move(sink)), buffer_(std::make_unique_for_overwrite<char[]>(kPieceBytes)) {}

  // Room for the next record, until the next call.
  Record record(size_t size) {
    if (kPieceBytes - used_ < size) hand_on();
    used_ += size;
    return Record(buffer_.get() + used_ - size);
  }
  void text(std::string_view text) {
    while (!text.empty()) {
      if (used_ == kPieceBytes) hand_on();
      const size_t size = std::min(text.size(), kPieceBytes - used_);
      std::memcpy(buffer_.get() + used_, text.data(), size);
      used_ += size;
      text.remove_prefix(size);
    }
  }
  // The last piece, with the checksum of all. The first error counts; nothing was handed on after
  // it.
  Status finish() {
    hand_on();
    record(kTrailerBytes).number<uint32_t>(crc_);
    hand_on();
    return std::move(status_);
  }

 private:
  void hand_on() {
    const std::string_view piece(buffer_.get(), std::exchange(used_, 0));
    if (!status_.ok()) return;
    crc_ = checksum(crc_, piece);
    status_ = sink_(piece);
  }

  const Sink sink_;
  const std::unique_ptr<char[]> buffer_;
  size_t used_ = 0;
  uint32_t crc_ = 0;
  Status status_;
};

class Encoder {
 public:
  explicit Encoder(const LayerTree& tree) : tree_(tree) { number_all(); }

  Status write(Pieces::Sink sink) const {
    Pieces out(std::move(sink));
    write_header(&out);
    uint64_t strings = 0;
    write_inodes(&out, &strings);
    write_xattrs(&out, &strings);
    write_nodes(&out, &strings);
    write_strings(&out);
    return out.finish();
  }

  uint64_t size() const {
    return kHeaderBytes + uint64_t{counts_.inodes} * kInodeBytes +
           uint64_t{counts_.xattrs} * kXattrBytes + uint64_t{counts_.nodes} * kNodeBytes +
           counts_.strings + kTrailerBytes;
  }

 private:
  // A parent has a smaller number than what lies in it, also where a path has come back: in the
  // order of their numbers, parents come first. Inodes come as the nodes name them first.
  void number_all() {
    node_numbers_.assign(tree_.node_count(), kNone);
    inode_numbers_.assign(tree_.inode_count(), kNone);
    inodes_.reserve(tree_.inode_count());
    for (NodeId id = 0; id < tree_.node_count(); ++id) {
      const Node& node = tree_.node(id);
      if (!tree_.present(id)) continue;
      if (id != kRootNode &&
          (node_numbers_[node.parent] == kNone || !tree_.is_directory(node.parent))) {
        continue;
      }
      node_numbers_[id] = counts_.nodes++;
      counts_.strings += node.name.size();
      uint32_t& number = inode_numbers_[node.inode];
      if (number != kNone) continue;
      number = static_cast<uint32_t>(inodes_.size());
      inodes_.push_back(node.inode);
      const Inode& inode = tree_.inode(node.inode);
      if (inode.target.empty() && inode.xattrs.empty()) continue;
      with_strings_.push_back(node.inode);
      counts_.strings += inode.target.size();
      counts_.xattrs += static_cast<uint32_t>(inode.xattrs.size());
      for (const auto& [name, value] : inode.xattrs) counts_.strings += name.size() + value.size();
    }
    counts_.inodes = static_cast<uint32_t>(inodes_.size());
  }

  void write_header(Pieces* out) const {
    out->text(kMagic);
    out->record(kHeaderBytes - kMagic.size())
        .number<uint32_t>(kIndexVersion)
        .number<uint32_t>(counts_.nodes)
        .number<uint32_t>(counts_.inodes)
        .number<uint32_t>(counts_.xattrs)
        .number<uint64_t>(counts_.strings);
  }

  void write_inodes(Pieces* out, uint64_t* strings) const {
    uint32_t first_xattr = 0;
    for (const InodeId id : inodes_) {
      const Inode& inode = tree_.inode(id);
      const auto xattr_count = static_cast<uint32_t>(inode.xattrs.size());
      out->record(kInodeBytes)
          .number<uint8_t>(static_cast<uint8_t>(inode.type))
          .number<uint8_t>((inode.copied_up ? kCopiedUpFlag : 0) |
                           (inode.checksum != nullptr ? kChecksumFlag : 0))
          .number<uint16_t>(inode.mode)
          .number<uint32_t>(inode.uid)
          .number<uint32_t>(inode.gid)
          .number<uint32_t>(inode.dev_major)
          .number<uint32_t>(inode.dev_minor)
          .number<int64_t>(inode.mtime.seconds)
          .number<uint32_t>(inode.mtime.nanoseconds)
          .number<uint64_t>(inode.size)
          .place_of(inode.target, strings)
          .number<uint32_t>(first_xattr)
          .number<uint32_t>(xattr_count)
          .number<uint32_t>(inode.checksum != nullptr ? *inode.checksum : 0);
      first_xattr += xattr_count;
    }
  }

  void write_xattrs(Pieces* out, uint64_t* strings) const {
    for (const InodeId id : with_strings_) {
      for (const auto& [name, value] : tree_.inode(id).xattrs) {
        out->record(kXattrBytes).place_of(name, strings).place_of(value, strings);
      }
    }
  }

  void write_nodes(Pieces* out, uint64_t* strings) const {
    for (NodeId id = 0; id < tree_.node_count(); ++id) {
      if (node_numbers_[id] == kNone) continue;
      const Node& node = tree_.node(id);
      out->record(kNodeBytes)
          .number<uint32_t>(node_numbers_[node.parent])
          .number<uint32_t>(inode_numbers_[node.inode])
          .number<uint8_t>((node.implicit ? kImplicitFlag : 0) | (node.opaque ? kOpaqueFlag : 0))
          .place_of(node.name, strings);
    }
  }

  // In the order in which the records have placed them.
  void write_strings(Pieces* out) const {
    for (const InodeId id : with_strings_) out->text(tree_.inode(id).target);
    for (const InodeId id : with_strings_) {
      for (const auto& [name, value] : tree_.inode(id).xattrs) {
        out->text(name);
        out->text(value);
      }
    }
    for (NodeId id = 0; id < tree_.node_count(); ++id) {
      if (node_numbers_[id] != kNone) out->text(tree_.node(id).name);
    }
  }

  const LayerTree& tree_;
  Counts counts_;
  std::vector<uint32_t> node_numbers_;   // in the file, by NodeId; kNone: not present
  std::vector<uint32_t> inode_numbers_;  // by InodeId; kNone: no path has it
  std::vector<InodeId> inodes_;          // in their order in the file
  std::vector<InodeId> with_strings_;    // those of them with a target or attributes
};

}  // namespace

std::string encode_index(const LayerTree& tree) {
  const Encoder encoder(tree);
  std::string bytes;
  bytes.reserve(encoder.size());
  const Status status = encoder.write([&bytes](std::string_view piece) {
    bytes.append(piece);
    return Status();
  });
  return bytes;
}

Status save_index(const LayerTree& tree, const std::string& path) {
  UniqueFd file(
      sys::openat(AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  if (!file.valid()) return system_error(errno, "open", path);
  off_t offset = 0;
  OCIUNPACK_TRY(Encoder(tree).write([&](std::string_view piece) -> Status {
    while (!piece.empty()) {
      const ssize_t written = sys::pwrite(file.get(), piece.data(), piece.size(), offset);
      if (written < 0) return system_error(errno, "write", path);
      piece.remove_prefix(static_cast<size_t>(written));
      offset += written;
    }
    return {};
  }));
  if (const int error = file.close()) return system_error(error, "close", path);
  return {};
}

}  // namespace ociunpack
