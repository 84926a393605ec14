// The reader beside GNU tar and Python's tarfile: the same entries in hostile tars (what
// CVE-2025-62518 is about), and the same entries and contents in tars that GNU tar wrote.
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "test/native/check.h"
#include "test/native/tar/tar_builder.h"

namespace ociunpack {
namespace {

using namespace std::string_literals;
using namespace tar_test;

// A folder that goes with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    const char* base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    path_ = std::string(base) + "/oci-unpack-tar-test-XXXXXX";
    if (!mkdtemp(path_.data())) path_.clear();
  }
  ~TemporaryFolder() {
    if (!path_.empty()) (void)!system(("rm -rf '" + path_ + "'").c_str());
  }
  const std::string& path() const { return path_; }

  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << bytes;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Runs a shell command in the folder; its output, and whether it succeeded.
  std::string run(const std::string& command, bool* ok = nullptr) const {
    const int status = system(("cd '" + path_ + "' && (" + command + ") >output 2>&1").c_str());
    if (ok) *ok = status == 0;
    return read("output");
  }

 private:
  std::string path_;
};

bool has_peers() { return system("python3 -c 'import tarfile' && tar --version >/dev/null") == 0; }

const char kPythonListing[] = R"(
import sys, tarfile
for m in tarfile.open(sys.argv[1], errorlevel=2):
    print(m.name.rstrip('/'), m.size if m.isreg() else 0)
)";

std::string listing(const Reading& reading) {
  std::string text;
  for (const ReadEntry& e : reading.entries) {
    std::string path = e.path;
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    text += path + " " + std::to_string(e.size) + "\n";
  }
  return text;
}

TEST(peers_agree_where_the_next_header_is) {
  if (!has_peers()) SKIP("needs python3 and GNU tar");
  const TemporaryFolder folder;
  REQUIRE(!folder.path().empty());
  folder.write("list.py", kPythonListing);
  const std::string inner = entry({.name = "inner"});
  const std::string first = entry({.name = "first"}, "x");
  const std::string last = entry({.name = "last"}) + zeros(2);
  const std::string size512 = pax({{"size", "512"}});
  std::vector<std::string> tars;
  for (const char type : {'0', '\0', '7'}) {
    tars.push_back(first + size512 + block({.name = "e", .type = type}) + inner + last);
    tars.push_back(first + block({.name = "e", .type = type, .size = 512}) + inner + last);
    tars.push_back(first + pax({{"size", "0"}}) + block({.name = "e", .type = type, .size = 512}) +
                   inner + last);
    tars.push_back(first + size512 + extended('L', "e\0"s) + block({.type = type}) + inner + last);
    tars.push_back(first + extended('L', "e\0"s) + size512 + block({.type = type}) + inner + last);
    // Two levels deep, and a pax header that is data.
    tars.push_back(first + pax({{"size", "2048"}}) + block({.name = "e", .type = type}) + size512 +
                   block({.name = "inner"}) + inner + last);
  }
  for (const char type : {'2', '5', '6'}) {
    const Header header{.name = "e", .type = type, .link = "first"};
    Header sized = header;
    sized.size = 512;
    tars.push_back(first + size512 + block(header) + inner + last);
    tars.push_back(first + block(sized) + inner + last);
  }
  // A hard link's size in the plain header, without a body.
  tars.push_back(first + block({.name = "e", .type = '1', .size = 512, .link = "first"}) + inner +
                 last);
  for (const std::string& tar : tars) {
    const Reading reading = read_all_ways(tar);
    CHECK_OK(reading.status);
    CHECK(reading.in_order);
    folder.write("case.tar", tar);
    CHECK_EQ(folder.run("python3 list.py case.tar"), listing(reading));
    // What GNU tar extracts, not what it lists: the two differ for types that have no body.
    std::vector<std::string> names;
    for (const ReadEntry& e : reading.entries) names.push_back(e.path);
    std::sort(names.begin(), names.end());
    std::string expected;
    for (const std::string& name : names) expected += name + "\n";
    CHECK_EQ(folder.run("rm -rf x && mkdir x && tar -xf case.tar -C x 2>/dev/null && ls -1 x"),
             expected);
  }
}

TEST(peers_tars_of_every_format) {
  if (!has_peers()) SKIP("needs python3 and GNU tar");
  const TemporaryFolder folder;
  REQUIRE(!folder.path().empty());
  folder.write("list.py", kPythonListing);
  bool ok = false;
  const std::string name90(90, 'n');
  const std::string made = folder.run("mkdir -p in/" + name90 +
                                          " && cd in && printf hello > a && "
                                          "ln a hard && ln -s a soft && mkfifo fifo && "
                                          "head -c 100000 /dev/zero > " +
                                          name90 + "/" + name90 + " && touch -d @-1.25 old",
                                      &ok);
  CHECK_EQ(made, "");
  REQUIRE(ok);
  for (const char* format : {"v7", "oldgnu", "gnu", "ustar", "pax"}) {
    // v7 cannot hold the long path, nor the fifo.
    const std::string what = format == "v7"s ? "a hard soft" : "in";
    const std::string where = format == "v7"s ? " -C in " : " ";
    CHECK_EQ(folder.run("tar --sort=name --format="s + format +
                        (format == "ustar"s ? " --mtime=@5" : "") + " -cf case.tar" + where + what),
             "");
    const Reading reading = read_all_ways(folder.read("case.tar"));
    CHECK_OK(reading.status);
    CHECK(reading.in_order && reading.saw_end);
    CHECK_EQ(listing(reading), folder.run("python3 list.py case.tar"));
    for (const ReadEntry& e : reading.entries) {
      if (e.path == "in/a" || e.path == "a") CHECK_EQ(e.body, "hello");
      if (e.path == "in/old") {
        // GNU tar says it in base-256, pax with its fraction, ustar not at all.
        if (format != "ustar"s) CHECK_EQ(e.seconds, -2);
        CHECK_EQ(e.nanoseconds, format == "pax"s ? 750000000 : 0);
      }
    }
  }
}

TEST(peers_sparse_files) {
  if (!has_peers()) SKIP("needs python3 and GNU tar");
  const TemporaryFolder folder;
  REQUIRE(!folder.path().empty());
  bool ok = false;
  folder.run(
      "python3 -c 'f = open(\"holes\", \"wb\")\n"
      "for i in range(60): f.seek(i * 65536 + 8192); f.write(b\"d%d\" % i)\n"
      "f.truncate(5000000)' && truncate -s 7G empty && truncate -s 10000 small",
      &ok);
  REQUIRE(ok);
  const std::string original = folder.read("holes");
  for (const char* options :
       {"--format=oldgnu", "--format=gnu", "--format=pax --sparse-version=0.0",
        "--format=pax --sparse-version=0.1", "--format=pax --sparse-version=1.0"}) {
    CHECK_EQ(folder.run("tar -S "s + options + " -cf case.tar holes empty small"), "");
    const std::string tar = folder.read("case.tar");
    CHECK(tar.size() < 1000000);
    const Reading reading = read_all_ways(tar);
    CHECK_OK(reading.status);
    CHECK(reading.in_order);
    REQUIRE(reading.entries.size() == 3);
    const ReadEntry& e = reading.entries[0];
    CHECK_EQ(e.path, "holes");
    CHECK_EQ(e.size, original.size());
    CHECK(e.has_sparse_map);
    std::string content(e.size, '\0');
    size_t at = 0;
    for (const auto& [offset, length] : e.sparse_map) {
      content.replace(offset, length, e.body.substr(at, length));
      at += length;
    }
    CHECK_EQ(at, e.body.size());
    CHECK(content == original);
    CHECK_EQ(reading.entries[1].path, "empty");
    CHECK_EQ(reading.entries[1].size, UINT64_C(7) << 30);
    CHECK(reading.entries[1].sparse_map.empty());
    CHECK_EQ(reading.entries[2].size, 10000);
  }
}

}  // namespace
}  // namespace ociunpack
