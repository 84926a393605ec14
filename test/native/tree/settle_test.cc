// The table of divergences of SEMANTICS.md, and the rules around it, on trees alone.
#include "tree/settle.h"

#include <functional>

#include "../check.h"
#include "layers.h"
#include "tree/index.h"

using ociunpack::Code;
using ociunpack::decode_index;
using ociunpack::encode_index;
using ociunpack::SymlinkParents;
using ociunpack::TreeView;
using ociunpack::test::Layer;
using ociunpack::test::show;
using View = std::shared_ptr<const TreeView>;

namespace {

View stack(Layer layer, View below = nullptr) {
  auto view = layer.on(std::move(below));
  CHECK(view.ok());
  return std::move(view).value();
}

std::string settled(Layer layer, View below = nullptr,
                    SymlinkParents policy = SymlinkParents::kFollow) {
  auto view = layer.on(std::move(below), policy);
  return view.ok() ? show(view.value()->tree())
                   : std::string(ociunpack::code_name(view.error().code));
}

}  // namespace

TEST(row_1_whiteout_then_directory_is_opaque) {
  const View below = stack(Layer().dir("foo").file("foo/old"));
  CHECK_EQ(settled(Layer().file(".wh.foo").dir("foo").file("foo/x"), below), "D foo\nf foo/x\n");
  CHECK_EQ(settled(Layer().file(".wh.foo").file("foo/x"), below), "I foo\nf foo/x\n");
}

TEST(row_2_order_of_whiteout_and_entry_does_not_matter) {
  const View below = stack(Layer().dir("foo").file("foo/old").file("bar"));
  CHECK_EQ(settled(Layer().dir("foo").file(".wh.foo").file("bar").file(".wh.bar"), below),
           "f bar\nD foo\n");
}

TEST(row_3_whiteouts_in_an_opaque_directory_are_dropped) {
  const View below = stack(Layer().dir("d").file("d/a").dir("d/s").file("d/s/b"));
  CHECK_EQ(
      settled(Layer().dir("d").file("d/.wh.a").file("d/.wh..wh..opq").file("d/s/.wh.b"), below),
      "D d\ni d/s\n");
}

TEST(row_4_outer_whiteout_wins) {
  const View below = stack(Layer().dir("a").file("a/b"));
  CHECK_EQ(settled(Layer().file("a/.wh.b").file(".wh.a"), below), "w a\n");
}

TEST(row_5_symlinked_parent_is_followed) {
  const View below =
      stack(Layer().dir("usr").dir("usr/lib").symlink("lib", "usr/lib").file("usr/lib/y"));
  Layer layer = Layer().file("lib/x").file("lib/.wh.y");
  auto view = layer.on(below);
  CHECK(view.ok() && layer.replanned);
  CHECK_EQ(show(view.value()->tree()), "i usr\ni usr/lib\nf usr/lib/x\nw usr/lib/y\n");
  // An explicit entry is a type change.
  CHECK_EQ(settled(Layer().dir("lib").file("lib/x"), below), "d lib\nf lib/x\n");
  // What came before the explicit entry has gone through the symlink.
  CHECK_EQ(settled(Layer().file("lib/x").dir("lib").file("lib/z"), below),
           "d lib\nf lib/z\ni usr\ni usr/lib\nf usr/lib/x\n");
  // A symlink that this layer whites out is none.
  CHECK_EQ(settled(Layer().file("lib/x").file(".wh.lib"), below), "I lib\nf lib/x\n");
}

TEST(row_5_policies) {
  const View below = stack(Layer().dir("usr").symlink("lib", "/usr"));
  Layer layer = Layer().file("lib/x");
  auto replaced = layer.on(below, SymlinkParents::kReplace);
  CHECK(replaced.ok());
  CHECK_EQ(show(replaced.value()->tree()), "i lib\nf lib/x\n");
  const auto refused = layer.on(below, SymlinkParents::kError);
  CHECK(!refused.ok() && refused.error().code == Code::ERR_SYMLINK_PARENT);
}

TEST(row_6_hardlink_into_a_lower_layer) {
  const View below = stack(Layer().dir("bin").file("bin/a", 04755));
  Layer layer = Layer().hardlink("y", "/bin/a").hardlink("z", "y");
  auto view = layer.on(below);
  CHECK(view.ok());
  CHECK_EQ(show(view.value()->tree()), "i bin\nf bin/a\nf y = bin/a\nf z = bin/a\n");
  CHECK_EQ(layer.copy_ups, 1u);
  const auto& tree = view.value()->tree();
  CHECK_EQ(tree.inode_of(tree.find(0, "y")).mode, 04755);
  // The path may belong to another file of this layer by then.
  CHECK_EQ(settled(Layer().hardlink("y", "bin/a").file("bin/a"), below), "i bin\nf bin/a\nf y\n");
  CHECK_EQ(settled(Layer().file("bin/a").hardlink("y", "bin/a"), below),
           "i bin\nf bin/a\nf y = bin/a\n");
  CHECK_EQ(settled(Layer().hardlink("y", "bin/a").file(".wh.bin"), below), "ERR_LINK_TARGET");
  CHECK_EQ(settled(Layer().hardlink("y", "bin"), below), "ERR_INVALID_ENTRY");
}

TEST(hardlinks_within_a_layer) {
  CHECK_EQ(settled(Layer().hardlink("b", "a").file("a")), "f a\nf b = a\n");
  CHECK_EQ(settled(Layer().hardlink("b", "c").hardlink("c", "a").file("a")),
           "f a\nf b = a\nf c = a\n");
  CHECK_EQ(settled(Layer().hardlink("a", "a")), "ERR_INVALID_ENTRY");
  CHECK_EQ(settled(Layer().hardlink("a", "b").hardlink("b", "a")), "ERR_LINK_TARGET");
  CHECK_EQ(settled(Layer().file("a").hardlink("b", "a").file("a")), "f a\nf b\n");
  CHECK_EQ(settled(Layer().symlink("s", "t").hardlink("b", "s")), "l b\nl s = b\n");
  CHECK_EQ(settled(Layer().dir("d").symlink("s", "d").file("d/a").hardlink("b", "s/a")),
           "f b\nd d\nf d/a = b\nl s\n");
}

TEST(row_7_implicit_parents_show_what_lies_below) {
  const View below = stack(Layer().dir("a", 01777).dir("a/b", 0700));
  const View view = stack(Layer().file("a/b/x").file("n/x"), below);
  const auto& tree = view->tree();
  const auto a = tree.find(0, "a");
  CHECK_EQ(tree.inode_of(a).mode, 01777);
  CHECK_EQ(tree.inode_of(tree.find(a, "b")).mode, 0700);
  CHECK_EQ(tree.inode_of(tree.find(a, "b")).mtime.seconds, 101);
  CHECK_EQ(tree.inode_of(tree.find(0, "n")).mode, 0755);
  const View hidden = stack(Layer().file("a/x").file(".wh.a"), below);
  CHECK_EQ(hidden->tree().inode_of(hidden->tree().find(0, "a")).mode, 0755);
}

TEST(row_8_root_entry) {
  const View view = stack(Layer().dir("./", 0700));
  CHECK_EQ(view->tree().inode_of(0).mode, 0700);
  const View above = stack(Layer().file("x"), view);
  CHECK_EQ(above->tree().inode_of(0).mode, 0700);
  CHECK_EQ(settled(Layer().symlink(".", "/etc")), "ERR_INVALID_ENTRY");
}

TEST(row_9_opaque_root) {
  const View below = stack(Layer().file("a").dir("b").file("b/x").dir("c"));
  CHECK_EQ(settled(Layer().file(".wh..wh..opq").dir("b").file("b/y"), below),
           "w a\nD b\nf b/y\nw c\n");
}

TEST(row_10_directory_in_place_of_something_else_is_opaque) {
  const View below = stack(Layer().dir("a").file("a/old"));
  CHECK_EQ(settled(Layer().file("a").dir("a").file("a/x"), below), "D a\nf a/x\n");
  CHECK_EQ(settled(Layer().symlink("a", "b").file("a").file("a/x"), below), "I a\nf a/x\n");
  CHECK_EQ(settled(Layer().dir("a").file("a/y").file("a").dir("a"), below), "D a\n");
}

TEST(row_11_pointless_whiteouts_are_dropped) {
  const View below = stack(Layer().dir("a").file("a/x"));
  CHECK_EQ(settled(Layer().file(".wh.none").dir("mine").file("mine/.wh.x").file("a/.wh.y"), below),
           "i a\nd mine\n");
  CHECK_EQ(settled(Layer().file(".wh.a")), "");
}

TEST(whiteouts_see_through_all_layers) {
  const View one = stack(Layer().dir("a").file("a/x"));
  const View two = stack(Layer().file("a/.wh.x"), one);
  CHECK_EQ(settled(Layer().file("a/.wh.x"), two), "i a\n");
  const View three = stack(Layer().file(".wh.a"), two);
  CHECK_EQ(settled(Layer().file("a/.wh.x").file(".wh.a"), three), "");
  CHECK_EQ(settled(Layer().file("a/y"), three), "i a\nf a/y\n");
}

TEST(refused_whiteouts) {
  for (const char* name : {".wh.", ".wh..", ".wh...", "a/.wh."}) {
    CHECK_EQ(settled(Layer().file(name)), "ERR_INVALID_ENTRY");
  }
  CHECK_EQ(settled(Layer().device("x", 0, 0)), "ERR_DEVICE");
  CHECK_EQ(settled(Layer().dir("d").file("d/y").device("d/x", 0, 0)), "ERR_DEVICE");
}

TEST(aufs_links_are_resolved_and_the_rest_skipped) {
  CHECK_EQ(settled(Layer()
                       .dir(".wh..wh.plnk")
                       .file(".wh..wh.plnk/1.2")
                       .hardlink("a", ".wh..wh.plnk/1.2")
                       .hardlink("b", ".wh..wh.plnk/1.2")
                       .file(".wh..wh.aufs")),
           "f a\nf b = a\n");
}

TEST(names) {
  CHECK_EQ(settled(Layer().file("/a//b/./c")), "i a\ni a/b\nf a/b/c\n");
  CHECK_EQ(settled(Layer().file("a/../b")), "f b\n");
  CHECK_EQ(settled(Layer().file("a/../../b")), "ERR_INVALID_ENTRY");
  CHECK_EQ(settled(Layer().file("../b")), "ERR_INVALID_ENTRY");
  CHECK_EQ(settled(Layer().file(std::string(256, 'n'))), "ERR_INVALID_ENTRY");
  Layer deep = Layer().file("1/2/3/4");
  deep.limits.max_path_depth = 3;
  CHECK_EQ(settled(deep), "ERR_LIMIT_EXCEEDED");
}

TEST(symlinks_of_the_layer_are_followed_inside_the_root) {
  CHECK_EQ(settled(Layer().symlink("l", "../../../d").file("l/x")), "i d\nf d/x\nl l\n");
  CHECK_EQ(settled(Layer().symlink("l", "l").file("l/x")), "ERR_INVALID_ENTRY");
  CHECK_EQ(settled(Layer().dir("d").symlink("d/up", "..").file("d/up/d/up/x")),
           "d d\nl d/up\nf x\n");
  // An ancestor that becomes something else takes the cached parent with it (CVE-2025-47290).
  CHECK_EQ(settled(Layer().dir("a").file("a/x").symlink("a", "b").file("a/x")),
           "l a\ni b\nf b/x\n");
}

TEST(index_round_trip) {
  const View below = stack(Layer().dir("bin").file("bin/a").file("gone"));
  const View view =
      stack(Layer().hardlink("y", "bin/a").file(".wh.gone").dir("d").file("d").dir("d"), below);
  const std::string bytes = encode_index(view->tree());
  const auto loaded = decode_index(bytes, "x");
  CHECK(loaded.ok());
  CHECK_EQ(show(*loaded.value()), show(view->tree()));
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    CHECK(!decode_index(bytes.substr(0, cut), "x").ok());
  }
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string damaged = bytes;
    damaged[at] ^= 0x20;
    CHECK(!decode_index(damaged, "x").ok());
  }
}

TEST(row_6_names_of_one_lower_file_stay_links_of_one_another) {
  const View below = stack(Layer().file("t").hardlink("u", "t"));
  Layer layer = Layer().hardlink("a", "t").hardlink("b", "u").hardlink("c", "a");
  auto view = layer.on(below);
  CHECK(view.ok());
  CHECK_EQ(layer.copy_ups, 1u);
  CHECK_EQ(show(view.value()->tree()), "f a\nf b = a\nf c = a\nf t = a\nf u = a\n");
}

TEST(row_6_a_link_that_is_named_twice) {
  const View below = stack(Layer().file("e/d").file("e/f"));
  CHECK_EQ(settled(Layer().hardlink("b", "none").hardlink("b", "e/d"), below),
           "f b\ni e\nf e/d = b\n");
  // A link to a placeholder sees what that was at the time.
  CHECK_EQ(settled(Layer().hardlink("b", "e/d").hardlink("c", "b").file("b"), below),
           "f b\nf c\ni e\nf e/d = c\n");
}

TEST(refusals_wait_for_the_lower_layers) {
  // `e` is a symlink to the root: the link's own parent is not the directory e.
  const View below = stack(Layer().symlink("e", "/"));
  CHECK_EQ(settled(Layer().hardlink("e/c", "e"), below), "l c\nl e = c\n");
  CHECK_EQ(settled(Layer().hardlink("e/c", "e"), stack(Layer().dir("e"))), "ERR_INVALID_ENTRY");
  CHECK_EQ(settled(Layer().file("e/x").hardlink("c", "e/x").hardlink("x/y", "c"), below),
           "f c\nI x\nf x/y = c\n");
}

TEST(deferred_links_are_resolved_as_the_layer_ends) {
  CHECK_EQ(settled(Layer().symlink("e", "n/c").hardlink("b", "e/d").file("e").file("e/d")),
           "f b\nI e\nf e/d = b\n");
  const View below = stack(Layer().file("x/d"));
  CHECK_EQ(settled(Layer().hardlink("b", "e/d").symlink("e", "x"), below),
           "f b\nl e\ni x\nf x/d = b\n");
}

TEST(a_link_with_a_body_is_the_link_where_a_lower_layer_has_its_target) {
  const View below = stack(Layer().file("t", 0600));
  Layer layer = Layer().hardlink("a", "t");
  layer.body_of_last(5);
  auto view = layer.on(below);
  CHECK(view.ok() && layer.replanned);
  CHECK_EQ(show(view.value()->tree()), "f a\nf t = a\n");
  Layer alone = Layer().hardlink("a", "t");
  alone.body_of_last(5);
  CHECK_EQ(settled(alone, stack(Layer().file("other"))), "f a\n");
}

TEST(marks_come_before_entries) {
  const View below = stack(Layer().symlink("e", "/d").dir("b"));
  // An entry has put something else in the place of the mark's directory.
  CHECK_EQ(settled(Layer().file("b/e/.wh.d").symlink("b", "x").dir("b"), below), "D b\n");
  // The mark's directory takes the place of the symlink, since the layer names it as a directory.
  CHECK_EQ(settled(Layer().file("e/b/c").file("e/d/.wh.b").dir("e"), below),
           "d e\ni e/b\nf e/b/c\ni e/d\n");
}

TEST(marks_below_a_symlink_whose_place_is_taken_under_another_name) {
  // `d/d` leads to `/d`, in the symlink's place, but is not the layer's own `d/`.
  const View up = stack(Layer().symlink("d", "..").dir("e").file("e/c"));
  CHECK_EQ(settled(Layer().dir("d/d").file("d/.wh.e"), up), "d d\nw e\n");
  CHECK_EQ(settled(Layer().file("d/.wh.e").dir("d/d").dir("d"), up), "d d\nd d/d\n");
  const View root = stack(Layer().symlink("a", "/"));
  CHECK_EQ(settled(Layer().dir("a/a").file("a/n/.wh.x"), root), "d a\ni n\n");
}

// The first entry that a sequential apply could not apply decides, whatever else is wrong.
TEST(the_first_refusal_in_the_tar_decides) {
  const auto refused = [](Layer layer, const View& below) {
    return settled(std::move(layer), below, SymlinkParents::kError);
  };
  const View below = stack(Layer().dir("d").file("d/f").symlink("s", "/d"));
  CHECK_EQ(refused(Layer().file("s/x").hardlink("y", "d"), below), "ERR_SYMLINK_PARENT");
  CHECK_EQ(refused(Layer().hardlink("y", "d").file("s/x"), below), "ERR_INVALID_ENTRY");
  CHECK_EQ(refused(Layer().file("s/x").hardlink("y", "y"), below), "ERR_SYMLINK_PARENT");
  CHECK_EQ(refused(Layer().hardlink("y", "y").file("s/x"), below), "ERR_INVALID_ENTRY");
  CHECK_EQ(refused(Layer().hardlink("d", "d/f").file("s/x"), below), "ERR_LINK_TARGET");
  CHECK_EQ(refused(Layer().hardlink("y", "none").file("s/x"), below), "ERR_SYMLINK_PARENT");
  // Before a refusal that needs no lower layers, too.
  CHECK_EQ(settled(Layer().hardlink("d", "d/f").hardlink("y", "y"), below), "ERR_LINK_TARGET");
  CHECK_EQ(settled(Layer().hardlink("y", "y").hardlink("d", "d/f"), below), "ERR_INVALID_ENTRY");
  // A link's target follows symlinks under every policy, and may be what is refused.
  CHECK_EQ(refused(Layer().hardlink("y", "s/f"), below), "i d\nf d/f\nf y = d/f\n");
  CHECK_EQ(refused(Layer().hardlink("y", "s/none/../f").file("s/x"), below), "ERR_SYMLINK_PARENT");
  const View loop = stack(Layer().symlink("c", "c").symlink("s", "/d"));
  CHECK_EQ(refused(Layer().hardlink("y", "c/a").file("s/x"), loop), "ERR_INVALID_ENTRY");
  CHECK_EQ(refused(Layer().file("s/x").hardlink("y", "c/a"), loop), "ERR_SYMLINK_PARENT");
}

TEST(a_refused_symlink_parent_needs_no_second_pass) {
  const View below = stack(Layer().dir("d").file("d/f").symlink("s", "/d"));
  Layer layer = Layer().hardlink("s/y", "s/f").hardlink("z", "s/f");
  const auto view = layer.on(below, SymlinkParents::kError);
  CHECK(!view.ok() && view.error().code == Code::ERR_SYMLINK_PARENT && !layer.replanned);
}

TEST(a_symlink_below_that_is_linked_belongs_to_the_layer) {
  const View below = stack(Layer().dir("d").symlink("s", "/d"));
  const Layer layer = Layer().hardlink("y", "s").file("s/x");
  for (const auto policy :
       {SymlinkParents::kFollow, SymlinkParents::kError, SymlinkParents::kReplace}) {
    CHECK_EQ(settled(layer, below, policy), "i d\nf d/x\nl s\nl y = s\n");
  }
  CHECK_EQ(settled(Layer().file("s/x").hardlink("y", "s"), below, SymlinkParents::kError),
           "ERR_SYMLINK_PARENT");
}

TEST(a_parent_that_was_only_walked_through_counts_as_one) {
  const View below = stack(Layer().dir("d").dir("d/e").symlink("s", "d/e"));
  const Layer layer = Layer().symlink("l", "s/../x").file("l/y");
  CHECK_EQ(settled(layer, below), "i d\ni d/x\nf d/x/y\nl l\n");
  CHECK_EQ(settled(layer, below, SymlinkParents::kError), "ERR_SYMLINK_PARENT");
  CHECK_EQ(settled(layer, below, SymlinkParents::kReplace), "l l\ni x\nf x/y\n");
  // Not on the way to a link's target; nor where this layer has cut it off.
  const Layer linked = Layer().symlink("l", "s/../e").dir("d/e").file("d/e/y").hardlink("z", "l/y");
  for (const auto policy : {SymlinkParents::kError, SymlinkParents::kReplace}) {
    CHECK_EQ(settled(linked, below, policy), "i d\nd d/e\nf d/e/y\nl l\nf z = d/e/y\n");
  }
  const View deeper = stack(Layer().dir("d").symlink("d/s", "/"));
  CHECK_EQ(settled(Layer().file("d").dir("d").symlink("l", "d/s/../x").file("l/y"), deeper,
                   SymlinkParents::kError),
           "D d\ni d/x\nf d/x/y\nl l\n");
}

TEST(a_link_sees_no_lower_file_where_its_path_was_cut_off) {
  const View below = stack(Layer().file("a/b/c"));
  CHECK_EQ(settled(Layer().file("a/b").hardlink("x", "a/b/c"), below), "ERR_LINK_TARGET");
  // Nor when the path is made anew since, with all that was known of it.
  CHECK_EQ(settled(Layer().file("a/b").hardlink("x", "a/b/c").file("a").dir("a").dir("a/b"), below),
           "ERR_LINK_TARGET");
}

namespace {

// Work that a hostile layer may ask for must not grow with the square of what it says: twice the
// size takes about twice the looks at nodes.
void check_in_proportion(int size, const std::function<void(int)>& work) {
  const auto looks = [&work](int of) {
    ociunpack::node_looks = 0;
    work(of);
    return ociunpack::node_looks;
  };
  const uint64_t once = looks(size);
  const uint64_t twice = looks(2 * size);
  CHECK(once > static_cast<uint64_t>(size));
  CHECK(twice < once * 5 / 2);
}

std::string deep(int depth) {
  std::string path;
  for (int i = 0; i < depth; ++i) path += "d/";
  return path;
}

}  // namespace

TEST(a_deep_path_over_itself) {
  check_in_proportion(1000, [](int depth) {
    const View below = stack(Layer().file(deep(depth) + "f"));
    CHECK(Layer().file(deep(depth) + "f").on(below).ok());
  });
}

TEST(whiteouts_below_a_deep_directory_of_a_lower_layer) {
  check_in_proportion(500, [](int depth) {
    const std::string path = deep(depth);
    const View below = stack(Layer().file(path + "f"));
    Layer layer;
    for (int i = 0; i < 20; ++i) layer.file(path + "new" + std::to_string(i) + "/.wh.x");
    CHECK(layer.on(below).ok());
    CHECK_EQ(layer.notes.size(), 20U);
  });
}

TEST(links_to_nothing_in_a_deep_directory_of_a_lower_layer) {
  check_in_proportion(500, [](int depth) {
    const std::string path = deep(depth);
    const View below = stack(Layer().dir("e").symlink("s", "e").file(path + "f"));
    Layer layer;
    for (int i = 0; i < 20; ++i) layer.hardlink("l" + std::to_string(i), path + "none");
    CHECK_EQ(settled(layer, below), "ERR_LINK_TARGET");
    layer.file("s/x");  // is planned anew, with the lower layers known
    CHECK_EQ(settled(layer, below), "ERR_LINK_TARGET");
  });
}

TEST(a_chain_of_links_backwards) {
  check_in_proportion(1000, [](int links) {
    Layer layer;
    for (int i = 0; i < links; ++i) {
      layer.hardlink("l" + std::to_string(i), "l" + std::to_string(i + 1));
    }
    CHECK_EQ(settled(layer), "ERR_LINK_TARGET");
    layer.file("l" + std::to_string(links));
    CHECK(layer.on(nullptr).ok());
  });
  // Through one another, and through symlinks that are linked themselves.
  CHECK_EQ(settled(Layer()
                       .hardlink("a", "b/c/f")
                       .hardlink("b", "s")
                       .hardlink("d/c", "d/t")
                       .symlink("s", "d")
                       .symlink("d/t", "../e")
                       .file("e/f")),
           "f a\nl b\ni d\nl d/c\nl d/t = d/c\ni e\nf e/f = a\nl s = b\n");
  CHECK_EQ(settled(Layer().hardlink("a", "b").hardlink("b", "c").hardlink("c", "a")),
           "ERR_LINK_TARGET");
}

TEST(names_of_a_file_that_are_replaced_one_by_one) {
  check_in_proportion(1000, [](int names) {
    Layer layer = Layer().file("d/n0");
    for (int i = 1; i < names; ++i) layer.hardlink("d/n" + std::to_string(i), "d/n0");
    Layer at_once = layer;
    for (int i = 0; i < names; ++i) layer.symlink("d/n" + std::to_string(i), "x");
    CHECK(layer.on(nullptr).ok());
    at_once.file("d");
    CHECK_EQ(settled(at_once), "f d\n");
  });
}

TEST(a_symlink_that_probes_a_thousand_paths) {
  const View below = stack(Layer().file("f"));
  std::string target;
  for (int i = 0; i < 800; ++i) target += "x/../";
  Layer layer;
  for (int i = 0; i < 39; ++i) {
    layer.symlink("s" + std::to_string(i), target + "s" + std::to_string(i + 1));
  }
  for (int i = 0; i < 20; ++i) layer.file("s0/f" + std::to_string(i)).file("f" + std::to_string(i));
  // Beyond a bound nothing is remembered: the layer is planned anew, with the lower layers known.
  CHECK(layer.on(below).ok() && layer.replanned);
}
