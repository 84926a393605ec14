// Reading an index file: checked as a whole by its CRC-32, then record by record, since whoever
// made it may have been someone else.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/unique_fd.h"
#include "tree/index.h"
#include "tree/index_format.h"

namespace ociunpack {
namespace {

using namespace index_format;

// The strings of the file, each for one record alone: a file whose records share them could stand
// for more memory than any machine has.
class Strings {
 public:
  explicit Strings(std::string_view bytes) : bytes_(bytes), left_(bytes.size()) {}

  std::optional<std::string_view> take(uint64_t offset, uint32_t length) {
    if (offset > bytes_.size() || length > bytes_.size() - offset || length > left_) {
      return std::nullopt;
    }
    left_ -= length;
    return bytes_.substr(offset, length);
  }

 private:
  std::string_view bytes_;
  uint64_t left_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes, Strings* strings = nullptr)
      : bytes_(bytes), strings_(strings) {}

  // SAFETY: the caller has checked that all records lie within `bytes`; text() checks its own
  // range.
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::string_view text() {
    const auto offset = number<uint64_t>();
    const auto length = number<uint32_t>();
    const auto taken = strings_->take(offset, length);
    valid_ = valid_ && taken.has_value();
    return taken.value_or(std::string_view());
  }
  bool valid() const { return valid_; }

 private:
  std::string_view bytes_;
  Strings* strings_;
  size_t at_ = 0;
  bool valid_ = true;
};

bool valid_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

// Reads one inode into `tree`, and counts its attributes off `xattrs_left`; false when it says what
// cannot be.
bool read_inode(Reader* in, uint32_t version, std::span<const Xattr> xattrs, size_t* xattrs_left,
                LayerTree* tree, InodeId id) {
  Inode& inode = tree->inode(id);
  const auto type = in->number<uint8_t>();
  if (type > static_cast<uint8_t>(NodeType::kWhiteout)) return false;
  inode.type = static_cast<NodeType>(type);
  const auto flags = in->number<uint8_t>();
  inode.copied_up = (flags & kCopiedUpFlag) != 0;
  inode.mode = in->number<uint16_t>();
  for (uint32_t* number : {&inode.uid, &inode.gid, &inode.dev_major, &inode.dev_minor}) {
    *number = in->number<uint32_t>();
  }
  inode.mtime.seconds = in->number<int64_t>();
  inode.mtime.nanoseconds = in->number<uint32_t>();
  inode.size = in->number<uint64_t>();
  inode.target = tree->keep(in->text());
  const auto first = in->number<uint32_t>();
  const auto count = in->number<uint32_t>();
  if (first > xattrs.size() || count > xattrs.size() - first || count > *xattrs_left) return false;
  *xattrs_left -= count;  // none is of two inodes
  inode.xattrs = tree->keep_xattrs(xattrs.subspan(first, count));
  if (version >= kFirstVersionWithChecksums) {
    const auto checksum = in->number<uint32_t>();
    if ((flags & kChecksumFlag) != 0) inode.checksum = tree->new_checksum(checksum);
  }
  return in->valid() && inode.mode <= 07777 && inode.mtime.nanoseconds < 1'000'000'000;
}

}  // namespace

Result<std::shared_ptr<LayerTree>> decode_index(std::string_view bytes, const std::string& path) {
  const auto invalid = [&](const char* why) {
    return input_error(Code::ERR_INVALID_INDEX, "index", path, why);
  };
  if (bytes.size() < kHeaderBytes + kTrailerBytes || !bytes.starts_with(kMagic)) {
    return invalid("this is not a layer index");
  }
  Reader header(bytes.substr(kMagic.size()));
  const auto version = header.number<uint32_t>();
  if (version < kOldestIndexVersion || version > kIndexVersion) {
    return invalid("another version of oci-unpack wrote this layer index; unpack the layer again");
  }
  Counts counts;
  counts.nodes = header.number<uint32_t>();
  counts.inodes = header.number<uint32_t>();
  counts.xattrs = header.number<uint32_t>();
  counts.strings = header.number<uint64_t>();
  const uint64_t inodes_size = uint64_t{counts.inodes} * inode_bytes(version);
  const uint64_t records =
      inodes_size + uint64_t{counts.xattrs} * kXattrBytes + uint64_t{counts.nodes} * kNodeBytes;
  const uint64_t body = bytes.size() - kHeaderBytes - kTrailerBytes;
  if (records > body || counts.strings != body - records) return invalid("the file is cut off");
  Reader trailer(bytes.substr(bytes.size() - kTrailerBytes));
  if (trailer.number<uint32_t>() != checksum(0, bytes.substr(0, bytes.size() - kTrailerBytes))) {
    return invalid("the checksum does not match: the file is damaged");
  }

  Strings strings(bytes.substr(kHeaderBytes + records, counts.strings));
  Reader inode_records(bytes.substr(kHeaderBytes), &strings);
  Reader xattr_records(bytes.substr(kHeaderBytes + inodes_size), &strings);
  std::vector<Xattr> xattrs(counts.xattrs);
  for (Xattr& xattr : xattrs) {
    xattr.first = xattr_records.text();
    xattr.second = xattr_records.text();
  }
  if (!xattr_records.valid()) return invalid("an attribute points outside the file");
  auto tree = std::make_shared<LayerTree>();
  tree->reserve(counts.nodes, counts.inodes);  // their records are there: no more than the file has
  size_t xattrs_left = xattrs.size();
  // Inode 0 is the root's, in the file as in a new tree.
  for (uint32_t i = 0; i < counts.inodes; ++i) {
    const InodeId id =
        i == 0 ? tree->node(kRootNode).inode : tree->new_inode(NodeType::kFile, kNoNode);
    if (!read_inode(&inode_records, version, xattrs, &xattrs_left, tree.get(), id)) {
      return invalid("an invalid inode");
    }
  }
  Reader nodes(bytes.substr(kHeaderBytes + inodes_size + uint64_t{counts.xattrs} * kXattrBytes),
               &strings);
  for (uint32_t i = 0; i < counts.nodes; ++i) {
    const auto parent = nodes.number<uint32_t>();
    const auto inode = nodes.number<uint32_t>();
    const auto flags = nodes.number<uint8_t>();
    const std::string_view name = nodes.text();
    if (!nodes.valid() || inode >= counts.inodes) return invalid("an invalid node");
    NodeId id = kRootNode;
    if (i == 0) {
      if (inode != 0 || tree->inode(0).type != NodeType::kDirectory) return invalid("no root");
    } else {
      // A parent is an earlier node and a directory: no cycles.
      if (parent >= i || !valid_name(name) || !tree->is_directory(parent)) {
        return invalid("an invalid node");
      }
      id = tree->find_or_add(parent, name);
      if (id != i) return invalid("a name stands twice in a directory");
      Inode& target = tree->inode(inode);
      if (target.type == NodeType::kDirectory && target.home != kNoNode) {
        return invalid("a directory with two names");
      }
      if (target.home == kNoNode) target.home = id;
      tree->place(id, inode);
    }
    tree->node(id).implicit = (flags & kImplicitFlag) != 0;
    tree->node(id).opaque = (flags & kOpaqueFlag) != 0;
  }
  if (counts.nodes == 0) return invalid("no root");
  return tree;
}

Result<std::shared_ptr<LayerTree>> load_index(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return system_error(errno, "open", path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return system_error(errno, "fstat", path);
  const auto size = static_cast<size_t>(status.st_size);
  const auto bytes = std::make_unique_for_overwrite<char[]>(size);
  size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(file.get(), bytes.get() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "read", path);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return decode_index({bytes.get(), done}, path);
}

}  // namespace ociunpack
