// Files, symlinks, devices and fifos: every attribute is read back from disk.
#include "apply/create.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "../check.h"
#include "scratch.h"

namespace ociunpack {
namespace {

using check::is_root;
using check::put;
using check::Scratch;

constexpr Timestamp kTime{1234567890, 123456789};

void check_time(const struct stat& status, Timestamp time) {
  CHECK_EQ(status.st_mtim.tv_sec, time.seconds);
  CHECK_EQ(status.st_mtim.tv_nsec, time.nanoseconds);
  CHECK_EQ(status.st_atim.tv_sec, time.seconds);
}

DataPiece piece(std::string_view bytes, uint64_t offset) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), offset};
}

TEST(an_ordinary_file) {
  Scratch scratch;
  REQUIRE_OK(
      put(scratch, "f", "hello", {0640, scratch.context.euid, scratch.context.egid, kTime, {}}));
  const struct stat status = scratch.look("f");
  CHECK_EQ(status.st_mode, S_IFREG | 0640U);
  CHECK_EQ(status.st_uid, scratch.context.euid);
  check_time(status, kTime);
  CHECK_EQ(scratch.content("f"), "hello");
  CHECK_EQ(scratch.notes(), "");
}

TEST(files_that_are_opened_before_any_is_filled) {
  Scratch scratch;
  const Attributes attributes{0640, scratch.context.euid, scratch.context.egid, kTime, {}};
  std::array<UniqueFd, 3> opened;
  for (size_t i = 0; i < opened.size(); i++) {
    auto fd = open_file(*scratch.root, std::to_string(i), attributes);
    REQUIRE_OK(fd);
    opened[i] = std::move(fd).value();
  }
  CHECK(!open_file(*scratch.root, "0", attributes).ok());
  for (size_t i = 0; i < opened.size(); i++) {
    const std::string name = std::to_string(i);
    const std::string content = "content of " + name;
    const DataPiece whole = piece(content, 0);
    uint32_t checksum = 0;
    REQUIRE_OK(fill_file(scratch.context, *scratch.root, name, attributes, std::move(opened[i]),
                         content.size(), {&whole, 1}, &checksum));
    CHECK_EQ(scratch.look(name).st_mode, S_IFREG | 0640U);
    check_time(scratch.look(name), kTime);
    CHECK_EQ(scratch.content(name), content);
    CHECK(checksum != 0);
  }
}

TEST(descriptors_for_files_are_shared_among_writers) {
  const size_t alone = files_at_once(1);
  CHECK(alone >= files_at_once(64));
  CHECK_EQ(files_at_once(SIZE_MAX), 1U);
}

TEST(an_empty_file) {
  Scratch scratch;
  const uint32_t me = scratch.context.euid, my_group = scratch.context.egid;
  REQUIRE_OK(put(scratch, "plain", "", {0600, me, my_group, kTime, {}}));
  REQUIRE_OK(put(scratch, "special", "", {06711, me, my_group, kTime, {}}));
  CHECK_EQ(scratch.look("plain").st_mode, S_IFREG | 0600U);
  CHECK_EQ(scratch.look("plain").st_size, 0);
  check_time(scratch.look("plain"), kTime);
  CHECK_EQ(scratch.look("special").st_mode, S_IFREG | 06711U);
  check_time(scratch.look("special"), kTime);
}

TEST(all_twelve_mode_bits_survive_the_owner_and_the_content) {
  if (!is_root()) SKIP("needs root: chown");
  Scratch scratch;
  for (const uint32_t mode : {04755U, 02755U, 01777U, 07777U, 0U, 0400U, 06000U}) {
    const std::string name = "m" + std::to_string(mode);
    REQUIRE_OK(put(scratch, name, "x", {mode, 1000, 50, kTime, {}}));
    CHECK_EQ(scratch.look(name).st_mode & 07777, mode);
    CHECK_EQ(scratch.look(name).st_uid, 1000U);
    CHECK_EQ(scratch.look(name).st_gid, 50U);
    check_time(scratch.look(name), kTime);
  }
}

TEST(the_mode_is_right_under_any_umask) {
  Scratch scratch;
  scratch.context.umask_private = false;
  ::umask(077);
  const uint32_t me = scratch.context.euid, my_group = scratch.context.egid;
  CHECK_OK(put(scratch, "f", "x", {0666, me, my_group, kTime, {}}));
  CHECK_OK(put(scratch, "empty", "", {0666, me, my_group, kTime, {}}));
  CHECK_OK(create_fifo(scratch.context, *scratch.root, "p", {0622, me, my_group, kTime, {}}));
  ::umask(0);
  CHECK_EQ(scratch.look("f").st_mode & 07777, 0666U);
  CHECK_EQ(scratch.look("empty").st_mode & 07777, 0666U);
  CHECK_EQ(scratch.look("p").st_mode & 07777, 0622U);
}

TEST(names_of_any_bytes) {
  Scratch scratch;
  const Attributes attributes{0644, scratch.context.euid, scratch.context.egid, kTime, {}};
  const std::string longest(255, 'n');
  for (const std::string& name :
       {std::string("\xff\xfe"), std::string("a\nb"), std::string(" "), std::string("-rf"),
        std::string("..."), std::string("\\"), longest}) {
    CHECK_OK(put(scratch, name, "x", attributes));
    CHECK_EQ(scratch.content(name), "x");
  }
}

TEST(pieces_that_touch_are_one_content) {
  Scratch scratch;
  std::vector<DataPiece> pieces;
  std::string expected;
  static const std::string text = "0123456789abcdefghijklmnopqrstuvwxyz";
  for (size_t i = 0; i < text.size(); ++i) {
    pieces.push_back(piece(std::string_view(text).substr(i, 1), i));
    expected += text[i];
  }
  REQUIRE_OK(create_file(scratch.context, *scratch.root, "f",
                         {0644, scratch.context.euid, scratch.context.egid, kTime, {}}, text.size(),
                         pieces));
  CHECK_EQ(scratch.content("f"), expected);
}

TEST(holes_stay_holes) {
  Scratch scratch;
  const Attributes attributes{0644, scratch.context.euid, scratch.context.egid, kTime, {}};
  const std::array pieces{piece("start", 0), piece("middle", 4 << 20)};
  REQUIRE_OK(create_file(scratch.context, *scratch.root, "f", attributes, 16 << 20, pieces));
  const struct stat status = scratch.look("f");
  CHECK_EQ(status.st_size, 16 << 20);
  CHECK(status.st_blocks * 512 < 1 << 20);
  const std::string content = scratch.content("f");
  CHECK_EQ(content.substr(0, 5), "start");
  CHECK_EQ(content.substr(4 << 20, 6), "middle");
  CHECK(content.find_first_not_of('\0', (4 << 20) + 6) == std::string::npos);
  // Nothing but a hole, larger than any memory.
  REQUIRE_OK(
      create_file(scratch.context, *scratch.root, "huge", attributes, UINT64_C(5) << 30, {}));
  CHECK_EQ(scratch.look("huge").st_size, INT64_C(5) << 30);
  CHECK_EQ(scratch.look("huge").st_blocks, 0);
}

TEST(a_file_that_comes_in_parts) {
  Scratch scratch;
  auto writer = FileWriter::open(scratch.context, scratch.root, "f",
                                 {0751, scratch.context.euid, scratch.context.egid, kTime, {}});
  REQUIRE_OK(writer);
  CHECK_OK(writer.value().write(piece("abc", 0)));
  CHECK_OK(writer.value().write(piece("def", 3)));
  CHECK_OK(writer.value().write(piece("xyz", 5000)));
  CHECK_OK(writer.value().finish(6000));
  check_time(scratch.look("f"), kTime);
  const std::string content = scratch.content("f");
  CHECK_EQ(content.size(), 6000U);
  CHECK_EQ(content.substr(0, 7), std::string("abcdef\0", 7));
  CHECK_EQ(content.substr(5000, 3), "xyz");
  CHECK_EQ(scratch.look("f").st_mode & 07777, 0751U);
}

TEST(nothing_is_written_through_what_is_there) {
  Scratch scratch;
  const Attributes attributes{0644, scratch.context.euid, scratch.context.egid, kTime, {}};
  scratch.put_file("victim", "untouched");
  scratch.put_symlink("link", "victim");
  scratch.put_symlink("dangling", "made-by-the-link");
  for (const char* name : {"victim", "link", "dangling"}) {
    CHECK_ERROR(put(scratch, name, "evil", attributes), ERR_IO);
    CHECK_ERROR(put(scratch, name, "", attributes), ERR_IO);
    CHECK_ERROR(create_symlink(scratch.context, *scratch.root, name, "x", attributes), ERR_IO);
    CHECK_ERROR(create_fifo(scratch.context, *scratch.root, name, attributes), ERR_IO);
    CHECK(!FileWriter::open(scratch.context, scratch.root, name, attributes).ok());
  }
  CHECK_EQ(scratch.content("victim"), "untouched");
  CHECK_EQ(scratch.look("made-by-the-link").st_nlink, 0U);
}

TEST(symlinks_have_owner_and_times_of_their_own) {
  if (!is_root()) SKIP("needs root: chown");
  Scratch scratch;
  scratch.put_file("target", "t");
  const struct stat before = scratch.look("target");
  REQUIRE_OK(
      create_symlink(scratch.context, *scratch.root, "l", "target", {0777, 7, 8, kTime, {}}));
  REQUIRE_OK(create_symlink(scratch.context, *scratch.root, "out", "../../../etc/passwd",
                            {0777, 0, 0, kTime, {}}));
  CHECK_EQ(scratch.look("l").st_uid, 7U);
  CHECK_EQ(scratch.look("l").st_gid, 8U);
  check_time(scratch.look("l"), kTime);
  CHECK_EQ(scratch.target("l"), "target");
  CHECK_EQ(scratch.target("out"), "../../../etc/passwd");
  const struct stat after = scratch.look("target");
  CHECK_EQ(after.st_uid, before.st_uid);
  CHECK_EQ(after.st_mode, before.st_mode);
  CHECK_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  CHECK_EQ(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
}

TEST(a_symlink_without_a_target_is_refused) {
  Scratch scratch;
  CHECK_ERROR(create_symlink(scratch.context, *scratch.root, "l", "", {}), ERR_INVALID_ENTRY);
}

TEST(devices_and_fifos) {
  if (!is_root()) SKIP("needs root: mknod");
  Scratch scratch;
  REQUIRE_OK(create_device(scratch.context, *scratch.root, "c", S_IFCHR, 4095, 1048575,
                           {04660, 3, 5, kTime, {}}));
  REQUIRE_OK(
      create_device(scratch.context, *scratch.root, "b", S_IFBLK, 8, 1, {0640, 0, 6, kTime, {}}));
  REQUIRE_OK(create_fifo(scratch.context, *scratch.root, "p", {0620, 9, 9, kTime, {}}));
  const struct stat device = scratch.look("c");
  CHECK_EQ(device.st_mode, S_IFCHR | 04660U);
  CHECK_EQ(major(device.st_rdev), 4095U);
  CHECK_EQ(minor(device.st_rdev), 1048575U);
  CHECK_EQ(device.st_uid, 3U);
  check_time(device, kTime);
  CHECK_EQ(scratch.look("b").st_mode, S_IFBLK | 0640U);
  CHECK_EQ(scratch.look("b").st_gid, 6U);
  CHECK_EQ(scratch.look("p").st_mode, S_IFIFO | 0620U);
  CHECK_EQ(scratch.look("p").st_uid, 9U);
  check_time(scratch.look("p"), kTime);
}

TEST(devices_by_policy) {
  Scratch scratch;
  const Attributes attributes{0660, scratch.context.euid, scratch.context.egid, kTime, {}};
  scratch.context.policies.devices = DeviceMode::kError;
  CHECK_ERROR(create_device(scratch.context, *scratch.root, "c", S_IFCHR, 1, 3, attributes),
              ERR_DEVICE);
  CHECK_EQ(scratch.look("c").st_nlink, 0U);
}

TEST(devices_without_the_privilege) {
  Scratch scratch;
  if (::chmod(scratch.host("").c_str(), 0777) != 0) SKIP("chmod");
  const auto make = [&](DeviceMode mode) {
    return check::as_nobody([&scratch, mode] {
      scratch.context.euid = ::geteuid();
      scratch.context.egid = ::getegid();
      scratch.context.policies.devices = mode;
      const Attributes attributes{0660, scratch.context.euid, scratch.context.egid, kTime, {}};
      const Status status =
          create_device(scratch.context, *scratch.root, "c", S_IFCHR, 1, 3, attributes);
      return check::summary(status) + "; " + scratch.notes();
    });
  };
  CHECK_EQ(make(DeviceMode::kSkip), "ok; device-skipped c");
  const std::string refused = make(DeviceMode::kCreate);
  CHECK(refused.starts_with("ERR_DEVICE "));
  CHECK(refused.find("skip") != std::string::npos);
}

}  // namespace
}  // namespace ociunpack
