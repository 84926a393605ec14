#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "../check.h"
#include "source/source.h"

namespace ociunpack {
namespace {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/oci-unpack-source-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name, std::string_view content) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << content;
    return path_ + "/" + name;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Result<std::string> read_all(FileSource& source, size_t piece) {
  std::string result;
  std::vector<uint8_t> buffer(piece);
  while (true) {
    OCIUNPACK_ASSIGN(const size_t got, source.read(buffer));
    if (got == 0) return result;
    result.append(reinterpret_cast<const char*>(buffer.data()), got);
  }
}

TEST(file_source_reads_windows) {
  const TemporaryFolder folder;
  const std::string path = folder.file("blob", "0123456789");
  struct Case {
    uint64_t offset;
    int64_t length;
    std::string_view expected;
  };
  for (const Case& window : {Case{0, -1, "0123456789"}, Case{3, -1, "3456789"}, Case{3, 4, "3456"},
                             Case{0, 0, ""}, Case{10, -1, ""}, Case{10, 0, ""}, Case{9, 1, "9"}}) {
    for (const size_t piece : {1u, 3u, 64u}) {
      auto source = FileSource::open(path, window.offset, window.length);
      REQUIRE_OK(source);
      CHECK_EQ(source.value().size().value_or(999), window.expected.size());
      const auto text = read_all(source.value(), piece);
      REQUIRE_OK(text);
      CHECK_EQ(text.value(), window.expected);
      uint8_t byte;
      const auto again = source.value().read({&byte, 1});
      REQUIRE_OK(again);
      CHECK_EQ(again.value(), 0u);
    }
  }
}

TEST(file_source_names_what_cannot_be_opened) {
  const TemporaryFolder folder;
  const std::string missing = folder.path() + "/missing";
  const auto result = FileSource::open(missing);
  CHECK_ERROR(result, ERR_NOT_FOUND);
  CHECK_EQ(result.error().path, missing);
  const auto directory = FileSource::open(folder.path());
  CHECK_ERROR(directory, ERR_IO);
  CHECK_EQ(directory.error().error_number, EISDIR);
  CHECK_ERROR(FileSource::from_fd(-1), ERR_IO);
  const std::string path = folder.file("f", "abc");
  CHECK_ERROR(FileSource::open(path, UINT64_MAX, -1), ERR_INVALID_ARGUMENT);
  CHECK_ERROR(FileSource::open(path, 1, INT64_MAX), ERR_INVALID_ARGUMENT);
  if (::geteuid() != 0) {
    std::filesystem::permissions(path, std::filesystem::perms::none);
    CHECK_ERROR(FileSource::open(path), ERR_PERMISSION);
  }
}

TEST(file_source_window_beyond_the_end_is_truncated) {
  const TemporaryFolder folder;
  const std::string path = folder.file("blob", "0123456789");
  const auto result = FileSource::open(path, 5, 6);
  CHECK_ERROR(result, ERR_TRUNCATED);
  CHECK_EQ(result.error().path, path);
  CHECK_ERROR(FileSource::open(path, 11, -1), ERR_TRUNCATED);

  // A file that becomes shorter while it is read.
  auto shrinking = FileSource::open(path);
  REQUIRE_OK(shrinking);
  std::filesystem::resize_file(path, 4);
  CHECK_ERROR(read_all(shrinking.value(), 3), ERR_TRUNCATED);
}

TEST(file_source_from_fd_leaves_the_callers_descriptor_alone) {
  const TemporaryFolder folder;
  const std::string path = folder.file("blob", "0123456789");
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ::lseek(fd.get(), 7, SEEK_SET);
  {
    auto source = FileSource::from_fd(fd.get(), 2, 3);
    REQUIRE_OK(source);
    const auto text = read_all(source.value(), 2);
    REQUIRE_OK(text);
    CHECK_EQ(text.value(), "234");
  }
  CHECK_EQ(::lseek(fd.get(), 0, SEEK_CUR), 7);
}

TEST(file_source_reads_pipes) {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  UniqueFd out(ends[0]);
  UniqueFd in(ends[1]);
  REQUIRE(::write(in.get(), "hello world", 11) == 11);
  in.reset();
  CHECK_ERROR(FileSource::from_fd(out.get(), 1), ERR_IO);
  {
    auto part = FileSource::from_fd(out.get(), 0, 5);
    REQUIRE_OK(part);
    const auto text = read_all(part.value(), 64);
    REQUIRE_OK(text);
    CHECK_EQ(text.value(), "hello");
  }
  auto rest = FileSource::from_fd(out.get());
  REQUIRE_OK(rest);
  CHECK(!rest.value().size().has_value());
  const auto text = read_all(rest.value(), 4);
  REQUIRE_OK(text);
  CHECK_EQ(text.value(), " world");
  auto more = FileSource::from_fd(out.get(), 0, 5);
  REQUIRE_OK(more);
  CHECK_ERROR(read_all(more.value(), 4), ERR_TRUNCATED);
}

}  // namespace
}  // namespace ociunpack
