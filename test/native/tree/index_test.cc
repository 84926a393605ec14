// The index file: what is encoded is decoded to an equal tree, whatever the tree has been through;
// writing it ends well or with an error that tells why.
#include "tree/index.h"

#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "../apply/scratch.h"
#include "../check.h"
#include "layers.h"

namespace ociunpack {
namespace {

using test::Layer;
using test::show;
using View = std::shared_ptr<const TreeView>;

// Everything of a tree that an index keeps, a line a path.
std::string everything(const LayerTree& tree) {
  std::map<std::string, std::string> lines;
  for (NodeId id = 0; id < tree.node_count(); ++id) {
    if (!tree.present(id)) continue;
    const Inode& inode = tree.inode_of(id);
    std::ostringstream line;
    line << int(inode.type) << ' ' << inode.copied_up << ' ' << inode.mode << ' ' << inode.uid
         << ' ' << inode.gid << ' ' << inode.dev_major << ':' << inode.dev_minor << ' '
         << inode.mtime.seconds << '.' << inode.mtime.nanoseconds << ' ' << inode.size << " '"
         << inode.target << "' " << tree.node(id).implicit << tree.node(id).opaque;
    for (const auto& [name, value] : inode.xattrs) line << ' ' << name << '=' << value;
    if (inode.checksum != nullptr) line << " #" << *inode.checksum;
    lines[tree.path(id)] = line.str();
  }
  std::string text;
  for (const auto& [path, line] : lines) text += path + ": " + line + "\n";
  return text + show(tree);
}

void check_round_trip(const LayerTree& tree) {
  const auto loaded = decode_index(encode_index(tree), "x");
  REQUIRE_OK(loaded);
  CHECK_EQ(everything(*loaded.value()), everything(tree));
  // And what was read can be written again.
  CHECK_EQ(encode_index(*loaded.value()), encode_index(tree));
}

NodeId add(LayerTree* tree, NodeId parent, std::string_view name, NodeType type) {
  const NodeId id = tree->find_or_add(parent, name);
  tree->place(id, tree->new_inode(type, id));
  return id;
}

// A directory of files with long names: more than a few pieces.
void fill(LayerTree* tree, size_t files) {
  for (size_t i = 0; i < files; ++i) {
    const NodeId directory =
        i % 100 == 0 ? add(tree, kRootNode, "d" + std::to_string(i / 100), NodeType::kDirectory)
                     : tree->find(kRootNode, "d" + std::to_string(i / 100));
    const NodeId id = add(tree, directory, std::string(i % 250 + 1, 'n') + std::to_string(i % 7),
                          NodeType::kFile);
    Inode& inode = tree->inode_of(id);
    inode.size = i;
    inode.checksum = tree->new_checksum(static_cast<uint32_t>(i * 2654435761u));
    if (i % 3 == 0) {
      const std::string value = "value " + std::string(i % 40, 'v');
      const Xattr xattr{"user.note", value};
      inode.xattrs = tree->keep_xattrs({&xattr, 1});
    }
  }
}

TEST(index_of_a_tree_with_everything) {
  LayerTree tree;
  const NodeId directory = add(&tree, kRootNode, "dir", NodeType::kDirectory);
  tree.node(directory).opaque = true;
  Inode& inode = tree.inode_of(directory);
  inode.mode = 02751;
  inode.uid = 0xfffffffe;
  inode.gid = 70000;
  inode.mtime = {-5, 999'999'999};
  const std::string long_value(70'000, 'l');
  const std::string with_zero("\0x\0", 3);
  const std::vector<Xattr> xattrs{
      {"user.empty", ""}, {"user.long", long_value}, {"user.zero", with_zero}};
  inode.xattrs = tree.keep_xattrs(xattrs);
  const NodeId implicit = add(&tree, directory, "implicit", NodeType::kDirectory);
  tree.node(implicit).implicit = true;
  const NodeId both = add(&tree, implicit, "both", NodeType::kDirectory);
  tree.node(both).implicit = tree.node(both).opaque = true;
  const NodeId link = add(&tree, both, "symlink", NodeType::kSymlink);
  tree.inode_of(link).target = tree.keep(std::string(4095, 't'));
  const NodeId device = add(&tree, kRootNode, "device", NodeType::kBlockDevice);
  tree.inode_of(device).dev_major = 0xfff;
  tree.inode_of(device).dev_minor = 0xfffff;
  add(&tree, kRootNode, "fifo", NodeType::kFifo);
  add(&tree, kRootNode, "char", NodeType::kCharDevice);
  add(&tree, directory, "gone", NodeType::kWhiteout);
  const NodeId file = add(&tree, kRootNode, "zz-file", NodeType::kFile);
  tree.inode_of(file).size = UINT64_MAX;
  tree.inode_of(file).checksum = tree.new_checksum(0);
  tree.inode_of(file).copied_up = true;
  // A second name that sorts first, and one that lies deeper.
  tree.place(tree.find_or_add(kRootNode, "a"), tree.node(file).inode);
  tree.place(tree.find_or_add(both, "z"), tree.node(file).inode);
  check_round_trip(tree);
}

TEST(index_of_trees_with_paths_that_came_back) {
  const View below = Layer().dir("l").file("l/x").symlink("s", "l").on(nullptr).value();
  const std::vector<Layer> layers = {
      Layer(),
      // A directory, then a file, then a directory with the same names in it.
      Layer().dir("d").file("d/x").dir("d/e").file("d/e/y").file("d").dir("d").file("d/e/y"),
      Layer().file("p").file("a").file("p/q").file("p/q/r").file("p").file("p/q/r"),
      Layer().dir("d").file("d/x").file("d"),
      Layer().file("f").hardlink("g", "f").file("f").hardlink("h", "g").dir("g").hardlink("g/i",
                                                                                          "h"),
      Layer().dir("x").file("x/a").hardlink("b", "x/a").symlink("x", "y").file("y/a"),
      Layer().symlink("s", "t").dir("s").file("s/a").symlink("t", "s").file("t/b"),
  };
  for (const Layer& layer : layers) {
    for (const View& lower : {View(), below}) {
      Layer copy = layer;
      const auto view = copy.on(lower);
      REQUIRE_OK(view);
      check_round_trip(view.value()->tree());
    }
  }
  Layer marks = Layer().file("l/.wh.x").file("s/y").file(".wh.s").dir("o").file("l/.wh..wh..opq");
  const auto view = marks.on(below);
  REQUIRE_OK(view);
  check_round_trip(view.value()->tree());
}

TEST(index_of_many_pieces) {
  LayerTree tree;
  fill(&tree, 20'000);
  check_round_trip(tree);
  const std::string bytes = encode_index(tree);
  CHECK(bytes.size() > (4u << 20));
  // What the format says, by zlib itself.
  const size_t body = bytes.size() - 4;
  uint32_t trailer;
  std::memcpy(&trailer, bytes.data() + body, sizeof trailer);
  CHECK_EQ(trailer, static_cast<uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()),
                                                  static_cast<uInt>(body))));
}

TEST(index_that_counts_more_than_it_has_room_for) {
  LayerTree tree;
  fill(&tree, 100);
  const std::string bytes = encode_index(tree);
  for (const size_t count : {12u, 16u, 20u, 24u}) {  // of nodes, inodes, xattrs, bytes of strings
    for (const uint32_t more : {1u, UINT32_MAX - 1000}) {
      std::string forged = bytes;
      uint32_t value;
      std::memcpy(&value, forged.data() + count, sizeof value);
      value += more;
      std::memcpy(forged.data() + count, &value, sizeof value);
      const size_t body = forged.size() - 4;
      value = static_cast<uint32_t>(
          ::crc32(0, reinterpret_cast<const Bytef*>(forged.data()), static_cast<uInt>(body)));
      std::memcpy(forged.data() + body, &value, sizeof value);
      CHECK_ERROR(decode_index(forged, "x"), ERR_INVALID_INDEX);
    }
  }
}

TEST(index_file) {
  check::Scratch scratch;
  LayerTree tree;
  fill(&tree, 5'000);
  const std::string path = scratch.host("index");
  // A longer file of that name from a broken attempt does not show through.
  scratch.put_file("index", std::string(4'000'000, 'x'));
  REQUIRE_OK(save_index(tree, path));
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  CHECK(bytes == encode_index(tree));
  const auto loaded = load_index(path);
  REQUIRE_OK(loaded);
  CHECK_EQ(everything(*loaded.value()), everything(tree));
}

TEST(index_file_that_cannot_be_written) {
  check::Scratch scratch;
  LayerTree tree;
  fill(&tree, 5'000);
  const auto refused = [&tree](const std::string& path, std::string_view call, int error) {
    const Status status = save_index(tree, path);
    CHECK(!status.ok());
    if (status.ok()) return;
    CHECK_EQ(status.error().operation, std::string(call));
    CHECK_EQ(status.error().error_number, error);
    CHECK_EQ(status.error().path, path);
  };
  refused(scratch.host("none/index"), "open", ENOENT);
  std::filesystem::create_symlink("elsewhere", scratch.host("link"));
  refused(scratch.host("link"), "open", ELOOP);
  refused("/dev/full", "write", ENOSPC);
  // The end of what may be written comes in the middle of a piece: a short write, then an error.
  rlimit before{};
  CHECK_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{600'001, before.rlim_max};
  CHECK_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  refused(scratch.host("index"), "write", EFBIG);
  CHECK_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  CHECK_EQ(std::filesystem::file_size(scratch.host("index")), 600'001u);
  CHECK_ERROR(load_index(scratch.host("index")), ERR_INVALID_INDEX);
}

// The file of one small string, or attribute, that is every record's.
TEST(index_whose_records_share_what_is_there_once) {
  constexpr size_t kHeader = 32, kInode = 64, kXattr = 24;
  LayerTree tree;
  for (const char* name : {"a", "b", "c"}) {
    Inode& inode = tree.inode_of(add(&tree, kRootNode, name, NodeType::kSymlink));
    inode.target = tree.keep(std::string(100, 't'));
    const Xattr xattr{"user.note", "value"};
    inode.xattrs = tree.keep_xattrs({&xattr, 1});
  }
  const std::string good = encode_index(tree);
  CHECK(decode_index(good, "x").ok());
  const auto with = [&good](size_t at, uint32_t value) {
    std::string bytes = good;
    std::memcpy(bytes.data() + at, &value, sizeof value);
    const uint32_t crc = static_cast<uint32_t>(
        ::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size() - 4));
    std::memcpy(bytes.data() + bytes.size() - 4, &crc, sizeof crc);
    return decode_index(bytes, "x");
  };
  // The first of the three has all their attributes; a value reaches into the names.
  CHECK(!with(kHeader + kInode + kInode - 8, 3).ok());
  CHECK(with(kHeader + kInode + kInode - 8, 1).ok());
  CHECK(!with(kHeader + 4 * kInode + kXattr - 4, 30).ok());
  CHECK(with(kHeader + 4 * kInode + kXattr - 4, 5).ok());
}

}  // namespace
}  // namespace ociunpack
