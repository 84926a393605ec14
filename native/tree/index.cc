#include "tree/index.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace ociunpack {
namespace {

constexpr std::string_view kMagic = "OCIUTREE";
constexpr size_t kHeaderBytes = 8 + 4 * 4 + 8;
constexpr size_t kInodeBytes = 4 + 4 * 4 + 8 + 4 + 8 + 12 + 8 + 4;
constexpr size_t kXattrBytes = 24;
constexpr size_t kNodeBytes = 4 + 4 + 1 + 12;
constexpr uint8_t kImplicitFlag = 1;
constexpr uint8_t kOpaqueFlag = 2;
constexpr uint8_t kCopiedUpFlag = 1;
constexpr uint8_t kChecksumFlag = 2;
constexpr uint32_t kFirstVersionWithChecksums = 2;

size_t inode_bytes(uint32_t version) {
  return version >= kFirstVersionWithChecksums ? kInodeBytes : kInodeBytes - sizeof(uint32_t);
}

// Fills a buffer that has just the right size: records from its front, their strings from
// `strings_at` on. A layer may name a million paths, and everything waits for its index.
class Writer {
 public:
  Writer(char* bytes, size_t strings_at) : next_(bytes), string_(bytes + strings_at) {}

  // SAFETY: what is written was counted before the buffer was made.
  template <typename T>
  void number(T value) {
    if constexpr (std::endian::native == std::endian::little) {
      std::memcpy(next_, &value, sizeof value);
    } else {
      for (size_t i = 0; i < sizeof(T); ++i) {
        next_[i] = static_cast<char>(static_cast<std::make_unsigned_t<T>>(value) >> (8 * i));
      }
    }
    next_ += sizeof value;
  }
  void text(std::string_view text) {
    number<uint64_t>(strings_);
    number<uint32_t>(static_cast<uint32_t>(text.size()));
    // memcpy(3) wants no null pointer, which an empty view may be.
    if (!text.empty()) std::memcpy(string_, text.data(), text.size());
    string_ += text.size();
    strings_ += text.size();
  }
  void raw(std::string_view bytes) {
    std::memcpy(next_, bytes.data(), bytes.size());
    next_ += bytes.size();
  }

 private:
  char* next_;
  char* string_;
  uint64_t strings_ = 0;  // bytes of strings so far
};

class Reader {
 public:
  Reader(std::string_view bytes, std::string_view strings) : bytes_(bytes), strings_(strings) {}

  // SAFETY: the caller has checked that all records lie within `bytes`; text() checks its own
  // range.
  template <typename T>
  T number() {
    std::make_unsigned_t<T> value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) {
      value |= static_cast<std::make_unsigned_t<T>>(static_cast<uint8_t>(bytes_[at_ + i]))
               << (8 * i);
    }
    at_ += sizeof(T);
    return static_cast<T>(value);
  }
  std::string_view text() {
    const auto offset = number<uint64_t>();
    const auto length = number<uint32_t>();
    if (offset > strings_.size() || length > strings_.size() - offset) {
      valid_ = false;
      return {};
    }
    return strings_.substr(offset, length);
  }
  bool valid() const { return valid_; }

 private:
  std::string_view bytes_;
  std::string_view strings_;
  size_t at_ = 0;
  bool valid_ = true;
};

uint32_t checksum(std::string_view bytes) {
  uLong crc = crc32(0, nullptr, 0);
  while (!bytes.empty()) {
    const size_t piece = std::min<size_t>(bytes.size(), 1 << 30);
    crc = crc32(crc, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(piece));
    bytes.remove_prefix(piece);
  }
  return static_cast<uint32_t>(crc);
}

bool valid_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

struct Counts {
  uint32_t nodes = 0, inodes = 0, xattrs = 0;
  uint64_t strings = 0;
};

void write_inode(const Inode& inode, uint32_t first_xattr, Writer* out) {
  out->number<uint8_t>(static_cast<uint8_t>(inode.type));
  out->number<uint8_t>((inode.copied_up ? kCopiedUpFlag : 0) |
                       (inode.checksum != nullptr ? kChecksumFlag : 0));
  out->number<uint16_t>(inode.mode);
  for (const uint32_t number : {inode.uid, inode.gid, inode.dev_major, inode.dev_minor}) {
    out->number(number);
  }
  out->number<int64_t>(inode.mtime.seconds);
  out->number<uint32_t>(inode.mtime.nanoseconds);
  out->number<uint64_t>(inode.size);
  out->text(inode.target);
  out->number<uint32_t>(first_xattr);
  out->number<uint32_t>(static_cast<uint32_t>(inode.xattrs.size()));
  out->number<uint32_t>(inode.checksum != nullptr ? *inode.checksum : 0);
}

// Reads one inode into `tree`; false when it says what cannot be.
bool read_inode(Reader* in, uint32_t version, std::span<const Xattr> xattrs, LayerTree* tree,
                InodeId id) {
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
  if (first > xattrs.size() || count > xattrs.size() - first) return false;
  inode.xattrs = tree->keep_xattrs(xattrs.subspan(first, count));
  if (version >= kFirstVersionWithChecksums) {
    const auto checksum = in->number<uint32_t>();
    if ((flags & kChecksumFlag) != 0) inode.checksum = tree->new_checksum(checksum);
  }
  return in->valid() && inode.mode <= 07777 && inode.mtime.nanoseconds < 1'000'000'000;
}

}  // namespace

std::string encode_index(const LayerTree& tree) {
  // Parents first: node numbers grow downwards only in part (a path may come back), so walk.
  std::vector<NodeId> order{kRootNode};
  order.reserve(tree.node_count());
  for (size_t i = 0; i < order.size(); ++i) {
    if (!tree.is_directory(order[i])) continue;
    for (NodeId child = tree.node(order[i]).first_child; child != kNoNode;
         child = tree.node(child).next_sibling) {
      if (tree.present(child)) order.push_back(child);
    }
  }
  constexpr uint32_t kNone = UINT32_MAX;
  std::vector<uint32_t> inode_number(tree.inode_count(), kNone);
  std::vector<InodeId> inodes;
  std::vector<uint32_t> node_number(tree.node_count(), 0);
  Counts counts;
  for (const NodeId id : order) {
    const Node& node = tree.node(id);
    node_number[id] = counts.nodes++;
    counts.strings += node.name.size();
    if (inode_number[node.inode] != kNone) continue;
    inode_number[node.inode] = counts.inodes++;
    inodes.push_back(node.inode);
    const Inode& inode = tree.inode(node.inode);
    counts.strings += inode.target.size();
    counts.xattrs += static_cast<uint32_t>(inode.xattrs.size());
    for (const auto& [name, value] : inode.xattrs) counts.strings += name.size() + value.size();
  }
  const size_t strings_at = kHeaderBytes + size_t{counts.inodes} * kInodeBytes +
                            size_t{counts.xattrs} * kXattrBytes + size_t{counts.nodes} * kNodeBytes;
  std::string bytes(strings_at + counts.strings + sizeof(uint32_t), '\0');
  Writer out(bytes.data(), strings_at);
  out.raw(kMagic);
  out.number<uint32_t>(kIndexVersion);
  out.number<uint32_t>(counts.nodes);
  out.number<uint32_t>(counts.inodes);
  out.number<uint32_t>(counts.xattrs);
  out.number<uint64_t>(counts.strings);
  uint32_t xattr_count = 0;
  for (const InodeId id : inodes) {
    write_inode(tree.inode(id), xattr_count, &out);
    xattr_count += static_cast<uint32_t>(tree.inode(id).xattrs.size());
  }
  for (const InodeId id : inodes) {
    for (const auto& [name, value] : tree.inode(id).xattrs) {
      out.text(name);
      out.text(value);
    }
  }
  for (const NodeId id : order) {
    const Node& node = tree.node(id);
    out.number<uint32_t>(node_number[node.parent]);
    out.number<uint32_t>(inode_number[node.inode]);
    out.number<uint8_t>((node.implicit ? kImplicitFlag : 0) | (node.opaque ? kOpaqueFlag : 0));
    out.text(node.name);
  }
  const size_t body = bytes.size() - sizeof(uint32_t);
  Writer trailer(bytes.data() + body, 0);
  trailer.number<uint32_t>(checksum(std::string_view(bytes).substr(0, body)));
  return bytes;
}

Result<std::shared_ptr<LayerTree>> decode_index(std::string_view bytes, const std::string& path) {
  const auto invalid = [&](const char* why) {
    return input_error(Code::ERR_INVALID_INDEX, "index", path, why);
  };
  if (bytes.size() < kHeaderBytes + 4 || !bytes.starts_with(kMagic)) {
    return invalid("this is not a layer index");
  }
  Reader header(bytes.substr(kMagic.size()), {});
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
  const uint64_t body = bytes.size() - kHeaderBytes - 4;
  if (records > body || counts.strings != body - records) return invalid("the file is cut off");
  Reader trailer(bytes.substr(bytes.size() - 4), {});
  if (trailer.number<uint32_t>() != checksum(bytes.substr(0, bytes.size() - 4))) {
    return invalid("the checksum does not match: the file is damaged");
  }

  const std::string_view strings = bytes.substr(kHeaderBytes + records, counts.strings);
  Reader inode_records(bytes.substr(kHeaderBytes), strings);
  Reader xattr_records(bytes.substr(kHeaderBytes + inodes_size), strings);
  std::vector<Xattr> xattrs(counts.xattrs);
  for (Xattr& xattr : xattrs) {
    xattr.first = xattr_records.text();
    xattr.second = xattr_records.text();
  }
  if (!xattr_records.valid()) return invalid("an attribute points outside the file");
  auto tree = std::make_shared<LayerTree>();
  // Inode 0 is the root's, in the file as in a new tree.
  for (uint32_t i = 0; i < counts.inodes; ++i) {
    const InodeId id =
        i == 0 ? tree->node(kRootNode).inode : tree->new_inode(NodeType::kFile, kNoNode);
    if (!read_inode(&inode_records, version, xattrs, tree.get(), id))
      return invalid("an invalid inode");
  }
  Reader nodes(bytes.substr(kHeaderBytes + inodes_size + uint64_t{counts.xattrs} * kXattrBytes),
               strings);
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

Status save_index(const LayerTree& tree, const std::string& path) {
  const std::string bytes = encode_index(tree);
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.valid()) return system_error(errno, "open", path);
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t written = ::write(file.get(), bytes.data() + done, bytes.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_error(errno, "write", path);
    done += static_cast<size_t>(written);
  }
  if (const int error = file.close()) return system_error(error, "close", path);
  return {};
}

Result<std::shared_ptr<LayerTree>> load_index(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return system_error(errno, "open", path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return system_error(errno, "fstat", path);
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(errno, "read", path);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  bytes.resize(done);
  return decode_index(bytes, path);
}

}  // namespace ociunpack
