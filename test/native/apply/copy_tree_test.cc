// Everything a copy must keep is read back from disk, with one thread and with several.
#include "apply/copy_tree.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>

#include "../check.h"
#include "host/disk_usage.h"
#include "scratch.h"

namespace ociunpack {
namespace {

using check::is_root;
using check::Scratch;

// `from` and `to`, both in the scratch directory; the copy is looked at as `to/...`.
void make_ends(Scratch& scratch) {
  scratch.directory("from");
  scratch.directory("to");
}

Result<CopyCounts> copy(Scratch& scratch, unsigned threads = 3) {
  return copy_tree(scratch.host("from"), scratch.host("to"), threads);
}

void set_times(const Scratch& scratch, std::string_view path, time_t seconds, long nanoseconds) {
  const timespec times[2] = {{seconds - 1, 1}, {seconds, nanoseconds}};
  CHECK_EQ(::utimensat(AT_FDCWD, scratch.host(path).c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
}

TEST(a_copy_keeps_modes_times_and_owners) {
  Scratch scratch;
  make_ends(scratch);
  scratch.directory("from/d");
  scratch.directory("from/d/e");
  scratch.put_file("from/d/e/f", "hello");
  scratch.put_symlink("from/d/link", "../nowhere");
  CHECK_EQ(::mkfifo(scratch.host("from/d/fifo").c_str(), 0622), 0);
  if (is_root()) {
    CHECK_EQ(::chown(scratch.host("from/d/e/f").c_str(), 1000, 50), 0);
    CHECK_EQ(::lchown(scratch.host("from/d/link").c_str(), 7, 8), 0);
    CHECK_EQ(::chown(scratch.host("from/d").c_str(), 9, 10), 0);
  }
  CHECK_EQ(::chmod(scratch.host("from/d/e/f").c_str(), 06751), 0);
  CHECK_EQ(::chmod(scratch.host("from/d").c_str(), 03711), 0);
  CHECK_EQ(::chmod(scratch.host("from").c_str(), 0750), 0);
  set_times(scratch, "from/d/e/f", 1234567890, 987654321);
  set_times(scratch, "from/d/link", -5, 3);
  set_times(scratch, "from/d/fifo", 77, 78);
  set_times(scratch, "from/d/e", 1000, 1);
  set_times(scratch, "from/d", 2000, 2);
  set_times(scratch, "from", 3000, 3);
  auto counts = copy(scratch);
  REQUIRE_OK(counts);
  CHECK_EQ(counts.value().entries, 5U);
  for (const char* path : {"", "/d", "/d/e", "/d/e/f", "/d/link", "/d/fifo"}) {
    const struct stat want = scratch.look(std::string("from") + path);
    const struct stat got = scratch.look(std::string("to") + path);
    CHECK_EQ(got.st_mode, want.st_mode);
    CHECK_EQ(got.st_uid, want.st_uid);
    CHECK_EQ(got.st_gid, want.st_gid);
    CHECK_EQ(got.st_mtim.tv_sec, want.st_mtim.tv_sec);
    CHECK_EQ(got.st_mtim.tv_nsec, want.st_mtim.tv_nsec);
  }
  CHECK_EQ(scratch.content("to/d/e/f"), "hello");
  CHECK_EQ(scratch.target("to/d/link"), "../nowhere");
}

TEST(a_copy_keeps_hardlink_groups_across_directories) {
  for (const unsigned threads : {1U, 4U}) {
    Scratch scratch;
    make_ends(scratch);
    for (int i = 0; i < 20; ++i) {
      const std::string name = "from/d" + std::to_string(i);
      scratch.directory(name);
      if (i == 0) scratch.put_file("from/d0/f", "shared");
      if (i == 0) scratch.put_symlink("from/d0/s", "f");
      if (i > 0) {
        CHECK_EQ(::link(scratch.host("from/d0/f").c_str(), scratch.host(name + "/f").c_str()), 0);
        CHECK_EQ(::linkat(AT_FDCWD, scratch.host("from/d0/s").c_str(), AT_FDCWD,
                          scratch.host(name + "/s").c_str(), 0),
                 0);
      }
      set_times(scratch, name, 5000 + i, 0);
    }
    REQUIRE_OK(copy(scratch, threads));
    const struct stat first = scratch.look("to/d0/f");
    CHECK_EQ(first.st_nlink, 20U);
    CHECK(first.st_ino != scratch.look("from/d0/f").st_ino);
    for (int i = 0; i < 20; ++i) {
      const std::string name = "to/d" + std::to_string(i);
      CHECK_EQ(scratch.look(name + "/f").st_ino, first.st_ino);
      CHECK_EQ(scratch.look(name + "/s").st_ino, scratch.look("to/d0/s").st_ino);
      CHECK_EQ(scratch.look(name).st_mtim.tv_sec, 5000 + i);
    }
    CHECK_EQ(scratch.content("to/d7/f"), "shared");
  }
}

TEST(a_copy_keeps_xattrs_capabilities_and_devices) {
  if (!is_root()) SKIP("needs root: trusted.*, mknod");
  Scratch scratch;
  make_ends(scratch);
  scratch.directory("from/d");
  scratch.put_file("from/ping", "x");
  // vfs_cap_data, revision 2 (linux/capability.h): cap_net_raw, effective.
  const std::string capability("\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  CHECK_EQ(::chown(scratch.host("from/ping").c_str(), 5, 6), 0);
  scratch.put_xattr("from/ping", "security.capability", capability);
  scratch.put_xattr("from/ping", "trusted.long", std::string(3000, 'v'));
  scratch.put_xattr("from/d", "trusted.overlay.opaque", "y");
  scratch.put_xattr("from/d", "trusted.empty", "");
  scratch.put_xattr("from", "trusted.top", "yes");
  CHECK_EQ(::mknod(scratch.host("from/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  CHECK_EQ(::mknod(scratch.host("from/whiteout").c_str(), S_IFCHR, makedev(0, 0)), 0);
  scratch.put_symlink("from/s", "x");
  scratch.put_xattr("from/s", "trusted.of_a_link", "1");
  REQUIRE_OK(copy(scratch));
  CHECK_EQ(scratch.xattr("to/ping", "security.capability"), capability);
  CHECK_EQ(scratch.xattr("to/ping", "trusted.long"), std::string(3000, 'v'));
  CHECK_EQ(scratch.xattr("to/d", "trusted.overlay.opaque"), "y");
  CHECK_EQ(scratch.xattr("to/d", "trusted.empty"), "");
  CHECK_EQ(scratch.xattr("to", "trusted.top"), "yes");
  CHECK_EQ(scratch.xattr("to/s", "trusted.of_a_link"), "1");
  CHECK_EQ(scratch.look("to/null").st_rdev, makedev(1, 3));
  CHECK_EQ(scratch.look("to/null").st_mode, S_IFCHR | 0666U);
  CHECK_EQ(scratch.look("to/whiteout").st_mode, static_cast<mode_t>(S_IFCHR));
}

TEST(a_copy_keeps_sockets) {
  Scratch scratch;
  make_ends(scratch);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, scratch.host("from/socket").c_str(), sizeof address.sun_path - 1);
  CHECK_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  REQUIRE_OK(copy(scratch));
  CHECK(S_ISSOCK(scratch.look("to/socket").st_mode));
}

TEST(a_copy_keeps_holes) {
  Scratch scratch;
  make_ends(scratch);
  {
    const UniqueFd fd(::open(scratch.host("from/sparse").c_str(), O_WRONLY | O_CREAT, 0644));
    REQUIRE(fd.valid());
    CHECK_EQ(::pwrite(fd.get(), "middle", 6, 64 << 20), 6);
    CHECK_EQ(::ftruncate(fd.get(), 256 << 20), 0);
  }
  auto counts = copy(scratch);
  REQUIRE_OK(counts);
  const struct stat status = scratch.look("to/sparse");
  CHECK_EQ(status.st_size, 256 << 20);
  CHECK(status.st_blocks * 512 < 1 << 20);
  const UniqueFd fd(::open(scratch.host("to/sparse").c_str(), O_RDONLY | O_CLOEXEC));
  char bytes[6];
  CHECK_EQ(::pread(fd.get(), bytes, 6, 64 << 20), 6);
  CHECK_EQ(std::string_view(bytes, 6), "middle");
}

TEST(a_copy_reaches_any_depth) {
  Scratch scratch;
  make_ends(scratch);
  // 60 levels of 200 bytes: beyond PATH_MAX.
  const std::string name(200, 'n');
  int fd = ::open(scratch.host("from").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < 60; ++i) {
    CHECK_EQ(::mkdirat(fd, name.c_str(), 0755), 0);
    const int next = ::openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ::close(fd);
    fd = next;
  }
  ::close(fd);
  auto counts = copy(scratch);
  REQUIRE_OK(counts);
  CHECK_EQ(counts.value().entries, 60U);
  auto usage = disk_usage(scratch.host("to"));
  REQUIRE_OK(usage);
  CHECK_EQ(usage.value().inodes, 61U);
}

TEST(the_metadata_of_a_directory_without_the_marks_of_overlayfs) {
  if (!is_root()) SKIP("needs root: trusted.*, chown");
  Scratch scratch;
  make_ends(scratch);
  scratch.put_xattr("from", "trusted.overlay.opaque", "y");
  scratch.put_xattr("from", "trusted.other", "z");
  CHECK_EQ(::chown(scratch.host("from").c_str(), 3, 4), 0);
  CHECK_EQ(::chmod(scratch.host("from").c_str(), 01733), 0);
  set_times(scratch, "from", 99, 100);
  REQUIRE_OK(copy_directory_metadata(scratch.host("from"), scratch.host("to")));
  const struct stat status = scratch.look("to");
  CHECK_EQ(status.st_mode, S_IFDIR | 01733U);
  CHECK_EQ(status.st_uid, 3U);
  CHECK_EQ(status.st_gid, 4U);
  CHECK_EQ(status.st_mtim.tv_sec, 99);
  CHECK_EQ(status.st_mtim.tv_nsec, 100);
  CHECK_EQ(scratch.xattr("to", "trusted.other"), "z");
  CHECK_EQ(scratch.xattr("to", "trusted.overlay.opaque"), "<none>");
}

TEST(a_copy_of_what_is_closed_to_its_owner) {
  if (!is_root()) SKIP("needs root, to become nobody");
  Scratch scratch;
  CHECK_EQ(::chmod(scratch.host("").c_str(), 0777), 0);
  const std::string failure = check::as_nobody([&scratch]() -> std::string {
    make_ends(scratch);
    std::map<mode_t, timespec> changed;
    for (const mode_t mode : {0, 0200, 02000, 04000, 01077}) {
      const std::string name = "from/f" + std::to_string(mode);
      scratch.put_file(name, "shut");
      set_times(scratch, name, 1000, 5);
      if (::chmod(scratch.host(name).c_str(), mode) != 0) return "chmod";
      changed[mode] = scratch.look(name).st_ctim;
    }
    const auto counts = copy(scratch);
    if (!counts.ok()) return counts.error().message();
    for (const mode_t mode : {0, 0200, 02000, 04000, 01077}) {
      for (const char* end : {"from", "to"}) {
        const struct stat status = scratch.look(std::string(end) + "/f" + std::to_string(mode));
        if ((status.st_mode & 07777) != mode) return std::string(end) + ": another mode";
        if (status.st_mtim.tv_sec != 1000 || status.st_size != 4) return "another file";
        // Nothing was changed to read it.
        if (end == std::string("from") && status.st_ctim.tv_nsec != changed[mode].tv_nsec) {
          return "changed";
        }
      }
    }
    return "";
  });
  CHECK_EQ(failure, "");
  CHECK_EQ(scratch.content("to/f0"), "shut");
  // What is closed and somebody else's stays closed.
  CHECK_EQ(::chown(scratch.host("from/f0").c_str(), 5, 5), 0);
  const std::string other = check::as_nobody([&scratch]() -> std::string {
    scratch.directory("other");
    const auto counts = copy_tree(scratch.host("from"), scratch.host("other"), 1);
    return counts.ok() ? "copied" : counts.error().error_number == EACCES ? "" : "another error";
  });
  CHECK_EQ(other, "");
  CHECK_EQ(scratch.look("from/f0").st_mode & 07777, 0U);
}

TEST(errors_of_a_copy) {
  Scratch scratch;
  make_ends(scratch);
  CHECK_ERROR(copy_tree(scratch.host("none"), scratch.host("to"), 1), ERR_NOT_FOUND);
  CHECK_ERROR(copy_tree(scratch.host("from"), scratch.host("none"), 1), ERR_NOT_FOUND);
  for (int i = 0; i < 50; ++i) {
    scratch.directory("from/d" + std::to_string(i));
    scratch.put_file("from/d" + std::to_string(i) + "/f", "x");
  }
  const std::atomic<bool> cancelled{true};
  CHECK_ERROR(copy_tree(scratch.host("from"), scratch.host("to"), 4, &cancelled), ERR_ABORTED);
  std::filesystem::remove_all(scratch.host("to"));
  scratch.directory("to");
  scratch.directory("to/d7");
  CHECK_ERROR(copy(scratch, 4), ERR_IO);  // EEXIST
}

TEST(disk_usage_counts_blocks_and_each_inode_once) {
  Scratch scratch;
  scratch.directory("d");
  scratch.directory("d/e");
  scratch.put_file("d/f", std::string(100'000, 'x'));
  CHECK_EQ(::link(scratch.host("d/f").c_str(), scratch.host("d/e/g").c_str()), 0);
  {
    const UniqueFd fd(::open(scratch.host("d/sparse").c_str(), O_WRONLY | O_CREAT, 0644));
    CHECK_EQ(::ftruncate(fd.get(), int64_t{1} << 40), 0);
  }
  auto usage = disk_usage(scratch.host("d"));
  REQUIRE_OK(usage);
  CHECK_EQ(usage.value().inodes, 4U);
  uint64_t blocks = 0;
  for (const char* path : {"d", "d/e", "d/f", "d/sparse"}) {
    blocks += static_cast<uint64_t>(scratch.look(path).st_blocks);
  }
  CHECK_EQ(usage.value().bytes, blocks * 512);
  CHECK_ERROR(disk_usage(scratch.host("none")), ERR_NOT_FOUND);
}

TEST(disk_usage_on_several_threads_is_the_same) {
  Scratch scratch;
  scratch.directory("d");
  // More than one thread begins alone with, directories enough for all, and links between them.
  for (int i = 0; i < 100; ++i) {
    const std::string directory = "d/" + std::to_string(i);
    scratch.directory(directory);
    scratch.directory(directory + "/e");
    for (int j = 0; j < 30; ++j) {
      const std::string name = "/" + std::to_string(j);
      scratch.put_file(directory + name, std::string(static_cast<size_t>(j) * 1000, 'x'));
      const std::string from = scratch.host(directory + name);
      const std::string to = scratch.host("d/" + std::to_string(i / 2) + "/e/" + std::to_string(i) +
                                          "-" + std::to_string(j));
      if (j % 3 == 0) CHECK_EQ(::link(from.c_str(), to.c_str()), 0);
    }
  }
  auto alone = disk_usage(scratch.host("d"));
  REQUIRE_OK(alone);
  CHECK_EQ(alone.value().inodes, 1U + 100 * 32);
  for (const unsigned threads : {2U, 3U, 64U, 1000U}) {
    for (int round = 0; round < 10; ++round) {
      auto usage = disk_usage(scratch.host("d"), threads);
      REQUIRE_OK(usage);
      CHECK_EQ(usage.value().inodes, alone.value().inodes);
      CHECK_EQ(usage.value().bytes, alone.value().bytes);
    }
  }
}

TEST(disk_usage_of_a_deep_and_wide_tree) {
  Scratch scratch;
  scratch.directory("d");
  // Deeper than the levels that are kept open, with siblings on the way back.
  int fd = ::open(scratch.host("d").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < 1000; ++i) {
    for (const char* name : {"a", "b", "c"}) CHECK_EQ(::mkdirat(fd, name, 0755), 0);
    const int next = ::openat(fd, "b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ::close(fd);
    fd = next;
  }
  ::close(fd);
  for (const unsigned threads : {1U, 4U}) {
    auto usage = disk_usage(scratch.host("d"), threads);
    REQUIRE_OK(usage);
    CHECK_EQ(usage.value().inodes, 3001U);
  }
}

}  // namespace
}  // namespace ociunpack
