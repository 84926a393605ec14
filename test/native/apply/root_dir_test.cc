// RootDir: both resolvers, openat2(2) and the O_PATH walk, give the same answer to every path of a
// hostile tree, and none of them ever leaves the root.
#include "apply/root_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "../check.h"
#include "scratch.h"

namespace ociunpack {
namespace {

using check::Scratch;

constexpr RootDir::Resolver kResolvers[] = {RootDir::Resolver::kAutomatic,
                                            RootDir::Resolver::kWalk};

// Beside the root lies a file that no path may reach: host("") is BASE/root.
struct Tree : Scratch {
  Tree() {
    put_file("../outside", "outside");
    directory("d");
    directory("d/e");
    put_file("d/e/f", "inside");
    put_file("f", "top");
    put_symlink("up", "..");
    put_symlink("far-up", "../../../../../../../../outside");
    put_symlink("abs", "/d/e");
    put_symlink("abs-out", host("../outside"));
    put_symlink("rel", "d/e");
    put_symlink("chain-1", "chain-2");
    put_symlink("chain-2", "/chain-3/.");
    put_symlink("chain-3", "d/../d/e");
    put_symlink("loop", "loop");
    put_symlink("loop-a", "loop-b/x");
    put_symlink("loop-b", "loop-a");
    put_symlink("dangling", "no/such");
    put_symlink("d/up", "..");
    put_symlink("d/e/root", "/");
    put_symlink("to-file", "d/e/f");
    put_symlink("magic", "/proc/self/root");
    put_symlink("dot", ".");
    put_symlink("slash-end", "d/e/");
  }
};

struct Case {
  const char* path;
  const char* leads_to;  // below the root, "" is the root itself; or "!" and the errno's name
};

// Vectors of containerd's table of breakouts, and what resolves legally.
constexpr Case kCases[] = {
    {"", ""},
    {".", ""},
    {"/", ""},
    {"..", ""},
    {"../../..", ""},
    {"/../../d", "d"},
    {"d/../../../d/e", "d/e"},
    {"d", "d"},
    {"d/", "d"},
    {"//d//e/./f", "d/e/f"},
    {"up", ""},
    {"up/up/up/outside", "!ENOENT"},
    {"up/d", "d"},
    {"far-up", "!ENOENT"},
    {"far-up/x", "!ENOENT"},
    {"abs", "d/e"},
    {"abs/f", "d/e/f"},
    {"abs-out", "!ENOENT"},
    {"rel/f", "d/e/f"},
    {"rel/../f", "!ENOENT"},
    {"rel/../e/f", "d/e/f"},
    {"chain-1/f", "d/e/f"},
    {"chain-1/root/chain-1/root/f", "f"},
    {"d/up/d/up/f", "f"},
    {"d/up/../../f", "f"},
    {"loop", "!ELOOP"},
    {"loop/x", "!ELOOP"},
    {"loop-a", "!ELOOP"},
    {"dangling", "!ENOENT"},
    {"dangling/x", "!ENOENT"},
    {"to-file", "d/e/f"},
    {"to-file/x", "!ENOTDIR"},
    {"f/x", "!ENOTDIR"},
    {"f/..", "!ENOTDIR"},
    {"f/", "!ENOTDIR"},
    {"to-file/", "!ENOTDIR"},
    {"magic", "!ENOENT"},
    {"magic/etc/passwd", "!ENOENT"},
    {"dot/dot/./dot/f", "f"},
    {"slash-end/f", "d/e/f"},
    {"d/e/root/d/e/root/../../f", "f"},
    {"no", "!ENOENT"},
    {"no/../f", "!ENOENT"},
};

std::string found(const Tree& tree, const Result<UniqueFd>& result) {
  if (!result.ok()) {
    return result.error().error_number == 0
               ? std::string("!") + std::string(code_name(result.error().code))
               : "!" + std::string(errno_name(result.error().error_number));
  }
  char name[8192];
  const std::string link = "/proc/self/fd/" + std::to_string(result.value().get());
  const ssize_t length = ::readlink(link.c_str(), name, sizeof name);
  const std::string path(name, length < 0 ? 0 : static_cast<size_t>(length));
  const std::string root = tree.host("");
  if (path == root) return "";
  if (!path.starts_with(root + "/")) return "OUTSIDE " + path;
  return path.substr(root.size() + 1);
}

TEST(both_resolvers_give_the_same_and_stay_inside) {
  Tree tree;
  for (const RootDir::Resolver resolver : kResolvers) {
    auto root = RootDir::open(tree.host(""), resolver);
    REQUIRE_OK(root);
    for (const Case& c : kCases) {
      const std::string got = found(tree, root.value().resolve(c.path, O_PATH));
      CHECK_EQ(std::string(c.path) + " => " + got, std::string(c.path) + " => " + c.leads_to);
      if (*c.leads_to == '!') continue;
      CHECK_EQ(found(tree, root.value().resolve(c.path, O_RDONLY)), c.leads_to);
    }
    CHECK_ERROR(root.value().resolve(std::string_view("d\0e", 3), O_PATH), ERR_INVALID_ENTRY);
  }
}

TEST(the_last_component_is_not_followed_on_demand) {
  Tree tree;
  for (const RootDir::Resolver resolver : kResolvers) {
    auto root = RootDir::open(tree.host(""), resolver);
    REQUIRE_OK(root);
    for (const char* link : {"abs", "abs-out", "loop", "d/up", "rel/root"}) {
      auto fd = root.value().resolve(link, O_PATH | O_NOFOLLOW);
      REQUIRE_OK(fd);
      struct stat status {};
      CHECK_EQ(::fstat(fd.value().get(), &status), 0);
      CHECK(S_ISLNK(status.st_mode));
      CHECK_EQ(found(tree, root.value().resolve(link, O_RDONLY | O_NOFOLLOW)), "!ELOOP");
    }
    CHECK_EQ(found(tree, root.value().resolve("abs/f", O_RDONLY | O_NOFOLLOW)), "d/e/f");
  }
}

TEST(files_are_made_inside_only) {
  for (const RootDir::Resolver resolver : kResolvers) {
    Tree tree;
    auto root = RootDir::open(tree.host(""), resolver);
    REQUIRE_OK(root);
    constexpr int kCreate = O_WRONLY | O_CREAT | O_EXCL;
    REQUIRE_OK(root.value().resolve("up/up/made", kCreate));
    CHECK_EQ(tree.look("made").st_nlink, 1U);
    CHECK_EQ(tree.look("../made").st_nlink, 0U);
    CHECK(!root.value().resolve("abs-out", kCreate).ok());
    CHECK(!root.value().resolve("dangling", kCreate).ok());
    CHECK_EQ(tree.content("../outside"), "outside");
  }
}

TEST(a_directory_is_opened_without_any_symlink) {
  Tree tree;
  for (const RootDir::Resolver resolver : kResolvers) {
    auto root = RootDir::open(tree.host(""), resolver);
    REQUIRE_OK(root);
    CHECK_EQ(found(tree, root.value().open_directory("")), "");
    CHECK_EQ(found(tree, root.value().open_directory("d/e")), "d/e");
    for (const char* path : {"abs", "rel", "d/up", "d/up/d", "chain-1", "up", "d/e/root/d"}) {
      const std::string got = found(tree, root.value().open_directory(path));
      CHECK(got == "!ELOOP" || got == "!ENOTDIR");
    }
    CHECK(!root.value().open_directory("..").ok());
    CHECK(!root.value().open_directory("d/../..").ok());
    CHECK(!root.value().open_directory("f").ok());
  }
}

TEST(the_parent_and_the_name_of_a_path) {
  Tree tree;
  for (const RootDir::Resolver resolver : kResolvers) {
    auto root = RootDir::open(tree.host(""), resolver);
    REQUIRE_OK(root);
    for (const char* path : {"abs/new", "abs/new/", "rel/new", "chain-1/new", "d/e/root/d/e/new"}) {
      auto parent = root.value().resolve_parent(path);
      REQUIRE_OK(parent);
      CHECK_EQ(parent.value().name, "new");
      CHECK_EQ(found(tree, std::move(parent.value().directory)), "d/e");
    }
    // The last component is not looked at: a symlink is only a name.
    auto link = root.value().resolve_parent("d/up");
    REQUIRE_OK(link);
    CHECK_EQ(link.value().name, "up");
    auto above = root.value().resolve_parent("up/../x");
    REQUIRE_OK(above);
    CHECK_EQ(found(tree, std::move(above.value().directory)), "");
    for (const char* path : {"", "/", ".", "a/.", "a/..", ".."}) {
      CHECK_ERROR(root.value().resolve_parent(path), ERR_INVALID_ENTRY);
    }
  }
}

TEST(forty_symlinks_are_followed_and_no_more) {
  Scratch scratch;
  scratch.put_file("end", "end");
  for (int i = 1; i <= 42; i++) {
    const std::string next = i == 1 ? "end" : "l" + std::to_string(i - 1);
    scratch.put_symlink("l" + std::to_string(i), next);
  }
  for (const RootDir::Resolver resolver : kResolvers) {
    auto root = RootDir::open(scratch.host(""), resolver);
    REQUIRE_OK(root);
    CHECK_OK(root.value().resolve("l40", O_PATH));
    auto over = root.value().resolve("l41", O_PATH);
    CHECK(!over.ok() && over.error().error_number == ELOOP);
  }
}

TEST(paths_beyond_path_max) {
  Scratch scratch;
  const std::string name(200, 'n');
  DirRef at = scratch.root;
  std::string path;
  for (int i = 0; i < 40; i++) {  // 8,000 bytes
    CHECK_EQ(::mkdirat(at->fd.get(), name.c_str(), 0755), 0);
    UniqueFd fd(::openat(at->fd.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    at = std::make_shared<const DirHandle>(DirHandle{std::move(fd), {}});
    path += (path.empty() ? "" : "/") + name;
  }
  struct stat deepest {};
  CHECK_EQ(::fstat(at->fd.get(), &deepest), 0);
  for (const RootDir::Resolver resolver : kResolvers) {
    auto root = RootDir::open(scratch.host(""), resolver);
    REQUIRE_OK(root);
    struct stat status {};
    auto directory = root.value().open_directory(path);
    REQUIRE_OK(directory);
    CHECK_EQ(::fstat(directory.value().get(), &status), 0);
    CHECK_EQ(status.st_ino, deepest.st_ino);
    auto resolved = root.value().resolve(path, O_PATH);
    REQUIRE_OK(resolved);
    CHECK_EQ(::fstat(resolved.value().get(), &status), 0);
    CHECK_EQ(status.st_ino, deepest.st_ino);
  }
}

// A directory that is moved out of the root while a walk stands in it does not take the walk along.
TEST(a_directory_moved_away_does_not_lead_out) {
  Tree tree;
  for (const RootDir::Resolver resolver : kResolvers) {
    auto root = RootDir::open(tree.host("d"), resolver);
    REQUIRE_OK(root);
    CHECK_EQ(found(tree, root.value().resolve("e/../../f", O_PATH)), "!ENOENT");
    CHECK_EQ(found(tree, root.value().resolve("up/up/f", O_PATH)), "!ENOENT");
    CHECK_EQ(found(tree, root.value().resolve("e/root", O_PATH)), "d");
  }
}

}  // namespace
}  // namespace ociunpack
