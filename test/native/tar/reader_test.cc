// The reader as a whole: types, precedence, sizes, the stream's end, limits. Every tar is read
// whole and in pieces of 1, 7, 511, 512 and 513 bytes, which must not make a difference.
#include "tar/reader.h"

#include <algorithm>
#include <string>

#include "test/native/check.h"
#include "test/native/tar/tar_builder.h"

namespace ociunpack {
namespace {

using namespace std::string_literals;
using namespace tar_test;

const std::string kEnd = zeros(2);

// Reads a tar that must be right.
Reading good(const std::string& tar, const Limits& limits = {}) {
  Reading r = read_all_ways(tar, limits);
  CHECK_OK(r.status);
  CHECK(r.in_order);
  return r;
}

// "path:size path:size ..." of the entries.
std::string listing(const Reading& r) {
  std::string text;
  for (const ReadEntry& e : r.entries) {
    text += (text.empty() ? "" : " ") + e.path + ":" + std::to_string(e.size);
  }
  return text;
}

void check_refused(const std::string& tar, Code code, const std::string& text = {},
                   const Limits& limits = {}) {
  const Reading r = read_all_ways(tar, limits);
  CHECK(!r.status.ok());
  CHECK_EQ(r.code(), code);
  CHECK(r.in_order);
  if (r.message().find(text) == std::string::npos) CHECK_EQ(r.message(), text);
}

TEST(reader_ustar_entry) {
  const Reading r = good(entry({.name = "name",
                                .mode = 0104755,
                                .uid = 1000,
                                .gid = 2000,
                                .mtime = 01234567,
                                .prefix = "some/prefix"},
                               "hello") +
                         kEnd);
  REQUIRE(r.entries.size() == 1);
  const ReadEntry& e = r.entries[0];
  CHECK(e.type == EntryType::kFile);
  CHECK_EQ(e.path, "some/prefix/name");
  CHECK_EQ(e.mode, 04755);
  CHECK_EQ(e.uid, 1000);
  CHECK_EQ(e.gid, 2000);
  CHECK_EQ(e.seconds, 01234567);
  CHECK_EQ(e.size, 5);
  CHECK_EQ(e.body, "hello");
  CHECK_EQ(e.index, 0);
  CHECK(r.saw_end);
}

TEST(reader_types) {
  const struct {
    char flag;
    EntryType type;
    std::string body;
  } cases[] = {
      {'0', EntryType::kFile, "body"},    {'\0', EntryType::kFile, "body"},
      {'7', EntryType::kFile, "body"},    {'1', EntryType::kHardlink, ""},
      {'2', EntryType::kSymlink, ""},     {'3', EntryType::kCharDevice, ""},
      {'4', EntryType::kBlockDevice, ""}, {'5', EntryType::kDirectory, ""},
      {'6', EntryType::kFifo, ""},
  };
  std::string tar;
  for (const auto& c : cases) {
    tar += entry({.name = "n", .type = c.flag, .link = "target", .dev_major = 7, .dev_minor = 9},
                 c.body);
  }
  const Reading r = good(tar + kEnd);
  REQUIRE(r.entries.size() == std::size(cases));
  for (size_t i = 0; i < r.entries.size(); i++) {
    const ReadEntry& e = r.entries[i];
    CHECK(e.type == cases[i].type);
    CHECK_EQ(e.body, cases[i].body);
    CHECK_EQ(e.index, i);
    const bool is_link = e.type == EntryType::kHardlink || e.type == EntryType::kSymlink;
    CHECK_EQ(e.linkpath, is_link ? "target" : "");
    const bool is_device = e.type == EntryType::kCharDevice || e.type == EntryType::kBlockDevice;
    CHECK_EQ(e.dev_major, is_device ? 7 : 0);
    CHECK_EQ(e.dev_minor, is_device ? 9 : 0);
  }
}

TEST(reader_unknown_types_are_refused) {
  for (int flag = 1; flag < 256; flag++) {
    const char c = static_cast<char>(flag);
    if ("01234567xgLKS"s.find(c) != std::string::npos) continue;
    const Reading r = read(block({.name = "odd", .type = c}) + kEnd);
    CHECK_ERROR(r.status, ERR_INVALID_ENTRY);
  }
  check_refused(block({.name = "odd", .type = 'V'}), Code::ERR_INVALID_ENTRY,
                "odd: unknown entry type 'V'");
}

TEST(reader_names) {
  const std::string name100(100, 'n');
  const std::string prefix155(155, 'p');
  CHECK_EQ(listing(good(entry({.name = name100, .prefix = prefix155}))),
           prefix155 + "/" + name100 + ":0");
  // GNU and v7 headers have no prefix; their bytes there mean something else.
  CHECK_EQ(listing(good(entry({.name = "a", .magic = kGnuMagic, .prefix = "00000000000"}))), "a:0");
  CHECK_EQ(listing(good(entry({.name = "a", .magic = kV7Magic, .prefix = "junk"}))), "a:0");
  CHECK_EQ(listing(good(entry({.name = "./a//b/../c/", .type = '5'}))), "./a//b/../c/:0");
  CHECK_EQ(listing(good(entry({.name = "/\xff\xfe"}))), "/\xff\xfe:0");
  const std::string link100(100, 'l');
  CHECK_EQ(good(entry({.type = '2', .link = link100})).entries.at(0).linkpath, link100);
  check_refused(entry({.name = ""}), Code::ERR_INVALID_ENTRY, "empty name");
  check_refused(entry({.type = '1'}), Code::ERR_INVALID_ENTRY, "without a target");
  check_refused(entry({.type = '2'}), Code::ERR_INVALID_ENTRY, "without a target");
  check_refused(pax({{"path", "a\0b"s}}) + entry({}), Code::ERR_INVALID_ENTRY, "NUL");
  check_refused(pax({{"linkpath", "a\0b"s}}) + entry({.type = '2', .link = "l"}),
                Code::ERR_INVALID_ENTRY, "NUL");
}

TEST(reader_old_directories) {
  const Reading r = good(entry({.name = "d/", .type = '\0'}) + entry({.name = "f/", .type = '0'}) +
                         pax({{"path", "p/"}}) + entry({.name = "x", .type = '\0'}) +
                         pax({{"path", "f"}}) + entry({.name = "x/", .type = '\0'}, "body") + kEnd);
  REQUIRE(r.entries.size() == 4);
  CHECK(r.entries[0].type == EntryType::kDirectory);
  CHECK(r.entries[1].type == EntryType::kFile);
  CHECK(r.entries[2].type == EntryType::kDirectory);
  CHECK(r.entries[3].type == EntryType::kFile);
  check_refused(entry({.name = "d/", .type = '\0'}, "body") + kEnd, Code::ERR_INVALID_ENTRY,
                "size of 4");
}

TEST(reader_gnu_long_names) {
  const std::string name = std::string(3000, 'n') + "/x";
  const std::string link(700, 'l');
  const auto body = [](const std::string& text) { return text + "\0"s; };
  const Reading r =
      good(extended('L', body(name)) + extended('K', body(link)) +
           entry({.name = "short", .type = '2', .link = "short"}) + extended('K', link) +
           extended('L', body("first")) + extended('L', name + "\0\0\0"s) +
           entry({.name = "short", .type = '2', .link = "short"}) +
           entry({.name = "next", .type = '2', .link = "target"}) + kEnd);
  REQUIRE(r.entries.size() == 3);
  for (size_t i = 0; i < 2; i++) {
    CHECK_EQ(r.entries[i].path, name);
    CHECK_EQ(r.entries[i].linkpath, link);
  }
  CHECK_EQ(r.entries[2].path, "next");
  CHECK_EQ(r.entries[2].linkpath, "target");
  check_refused(extended('L', "a\0b\0"s) + entry({}), Code::ERR_INVALID_ENTRY, "NUL");
  check_refused(extended('L', "\0"s) + entry({}), Code::ERR_INVALID_ENTRY, "empty");
  check_refused(extended('K', "") + entry({}), Code::ERR_INVALID_ENTRY, "empty");
}

TEST(reader_pax_wins_for_one_entry) {
  const Reading r =
      good(pax({{"path", "pax-path"},
                {"linkpath", "pax-link"},
                {"uid", "100000"},
                {"gid", "200000"},
                {"mtime", "-1.25"},
                {"SCHILY.xattr.user.a", "v\0w"s},
                {"uname", "x"}}) +
           entry({.name = "h", .type = '2', .link = "hl", .uid = 1, .gid = 2, .mtime = 3}) +
           entry({.name = "h", .type = '2', .link = "hl", .uid = 1, .gid = 2, .mtime = 3}) + kEnd);
  REQUIRE(r.entries.size() == 2);
  const ReadEntry& e = r.entries[0];
  CHECK_EQ(e.path, "pax-path");
  CHECK_EQ(e.linkpath, "pax-link");
  CHECK_EQ(e.uid, 100000);
  CHECK_EQ(e.gid, 200000);
  CHECK_EQ(e.seconds, -2);
  CHECK_EQ(e.nanoseconds, 750000000);
  REQUIRE(e.xattrs.size() == 1);
  CHECK_EQ(e.xattrs[0].second, "v\0w"s);
  const ReadEntry& next = r.entries[1];
  CHECK_EQ(next.path, "h");
  CHECK_EQ(next.linkpath, "hl");
  CHECK_EQ(next.uid, 1);
  CHECK_EQ(next.gid, 2);
  CHECK_EQ(next.seconds, 3);
  CHECK_EQ(next.nanoseconds, 0);
  CHECK(next.xattrs.empty());
}

TEST(reader_precedence_of_names) {
  const std::string long_name = extended('L', "long\0"s);
  const std::string pax_name = pax({{"path", "pax"}});
  CHECK_EQ(listing(good(long_name + pax_name + entry({}))), "pax:0");
  CHECK_EQ(listing(good(pax_name + long_name + entry({}))), "pax:0");
  CHECK_EQ(listing(good(long_name + pax({{"mtime", "1"}}) + entry({}))), "long:0");
  // POSIX: an empty value deletes the header's field; GNU tar and tarfile list an empty name too.
  check_refused(pax({{"path", ""}}) + entry({}), Code::ERR_INVALID_ENTRY, "empty name");
  // A number that only fits the pax header leaves junk in the plain one.
  CHECK_EQ(listing(good(pax({{"uid", "5"}, {"size", "3"}}) +
                        block({.patches = {{108, "junk"}, {124, "junk"}}}) + pad("abc"))),
           "file:3");
}

TEST(reader_global_headers) {
  const Reading r =
      good(pax({{"uid", "7"}, {"mtime", "1.5"}, {"SCHILY.xattr.user.g", "global"}}, 'g') +
           entry({.name = "a", .uid = 1, .mtime = 9}) +
           pax({{"uid", "8"}, {"SCHILY.xattr.user.x", "own"}, {"mtime", ""}}) +
           entry({.name = "b", .uid = 1, .mtime = 9}) + entry({.name = "c", .uid = 1}) +
           pax({{"uid", ""}, {"gid", "3"}, {"SCHILY.xattr.user.g", ""}}, 'g') +
           entry({.name = "d", .uid = 1}) + kEnd);
  REQUIRE(r.entries.size() == 4);
  CHECK_EQ(r.entries[0].uid, 7);
  CHECK_EQ(r.entries[0].nanoseconds, 500000000);
  CHECK_EQ(r.entries[0].xattrs.size(), 1);
  CHECK_EQ(r.entries[1].uid, 8);
  CHECK_EQ(r.entries[1].seconds, 9);
  CHECK_EQ(r.entries[1].nanoseconds, 0);
  CHECK_EQ(r.entries[1].xattrs.size(), 2);
  CHECK_EQ(r.entries[2].uid, 7);
  CHECK_EQ(r.entries[2].xattrs.size(), 1);
  CHECK_EQ(r.entries[3].uid, 1);
  CHECK_EQ(r.entries[3].gid, 3);
  CHECK_EQ(r.entries[3].seconds, 1);
  CHECK(r.entries[3].xattrs.empty());
  // Between a pax header and its entry, and as the only thing in the tar (git makes such).
  CHECK_EQ(listing(good(pax({{"path", "p"}}) + pax({{"comment", "c"}}, 'g') + entry({}))), "p:0");
  CHECK_EQ(good(pax({{"comment", "c"}}, 'g') + kEnd).entries.size(), 0);
  CHECK_EQ(good(pax({{"comment", "c"}}, 'g')).entries.size(), 0);
  CHECK_EQ(listing(good(pax({{"size", "3"}}, 'g') + block({.name = "a"}) + pad("abc") +
                        block({.name = "b"}) + pad("abc"))),
           "a:3 b:3");
}

TEST(reader_repeated_pax_headers_are_refused) {
  check_refused(pax({{"path", "a"}}) + pax({{"path", "b"}}) + entry({}), Code::ERR_INVALID_TAR,
                "two pax headers");
}

TEST(reader_malformed_pax_is_an_error) {
  check_refused(extended('x', "junk") + entry({}), Code::ERR_INVALID_TAR);
  check_refused(extended('g', "junk") + entry({}), Code::ERR_INVALID_TAR);
  check_refused(extended('x', record("path", "a") + "\0"s) + entry({}), Code::ERR_INVALID_TAR);
  CHECK_EQ(listing(good(extended('x', "") + extended('g', "") + entry({}))), "file:0");
}

TEST(reader_numbers) {
  const auto base256 = [](int64_t value, size_t width) {
    std::string text(width, value < 0 ? '\xff' : '\0');
    for (size_t i = 0; i < 8 && i < width; i++) {
      text[width - 1 - i] = static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
    }
    text[0] = static_cast<char>(text[0] | 0x80);
    return text;
  };
  const Reading r = good(block({.name = "big",
                                .patches = {{108, base256(4000000000, 8)},
                                            {116, base256(3000000, 8)},
                                            {124, base256(3, 12)},
                                            {136, base256(-5, 12)}}}) +
                         pad("abc") + kEnd);
  REQUIRE(r.entries.size() == 1);
  CHECK_EQ(r.entries[0].uid, 4000000000u);
  CHECK_EQ(r.entries[0].gid, 3000000);
  CHECK_EQ(r.entries[0].size, 3);
  CHECK_EQ(r.entries[0].seconds, -5);
  const auto with = [](size_t at, const std::string& bytes) {
    return block({.patches = {{at, bytes}}});
  };
  const std::string over(12, '\xbf');
  CHECK_EQ(good(with(136, over)).entries.at(0).seconds, INT64_MAX);
  CHECK_EQ(good(with(136, "\xc0"s + std::string(11, '\0'))).entries.at(0).seconds, INT64_MIN);
  check_refused(with(100, "junk"), Code::ERR_INVALID_ENTRY, "mode is not a number");
  check_refused(with(136, "junk"), Code::ERR_INVALID_ENTRY, "mtime is not a number");
  check_refused(with(124, base256(-1, 12)), Code::ERR_INVALID_ENTRY, "size is out of range");
  check_refused(with(124, base256(INT64_MAX, 12)), Code::ERR_INVALID_ENTRY, "out of range");
  check_refused(with(124, over), Code::ERR_INVALID_ENTRY, "size is out of range");
  check_refused(with(108, base256(-1, 8)), Code::ERR_INVALID_ENTRY, "uid is out of range");
  check_refused(with(108, base256(UINT32_MAX, 8)), Code::ERR_INVALID_ENTRY, "uid is out of range");
  check_refused(with(116, base256(INT64_C(1) << 32, 8)), Code::ERR_INVALID_ENTRY, "gid is out");
}

TEST(reader_devices) {
  const auto device = [](uint64_t major_number, uint64_t minor_number) {
    return block({.type = '3', .dev_major = major_number, .dev_minor = minor_number});
  };
  const Reading r =
      good(device(4095, 1048575) + pax({{"SCHILY.devmajor", "300"}, {"SCHILY.devminor", "70000"}}) +
           device(1, 1));
  REQUIRE(r.entries.size() == 2);
  CHECK_EQ(r.entries[0].dev_major, 4095);
  CHECK_EQ(r.entries[0].dev_minor, 1048575);
  CHECK_EQ(r.entries[1].dev_major, 300);
  CHECK_EQ(r.entries[1].dev_minor, 70000);
  check_refused(device(4096, 0), Code::ERR_DEVICE, "device 4096:0");
  check_refused(device(0, 1048576), Code::ERR_DEVICE, "device 0:1048576");
}

// CVE-2025-62518: a reader that finds the next header by the plain header's size takes the body of
// a nested tar for entries. `inner` is a valid header, in the body of "outer".
TEST(reader_pax_size_decides_where_the_next_header_is) {
  const std::string inner = entry({.name = "inner"});
  for (const char type : {'0', '\0', '7'}) {
    const Reading r = good(pax({{"size", "512"}}) + block({.name = "outer", .type = type}) + inner +
                           entry({.name = "last"}) + kEnd);
    CHECK_EQ(listing(r), "outer:512 last:0");
    CHECK_EQ(r.entries[0].body, inner);
  }
  CHECK_EQ(listing(good(pax({{"size", "0"}}) + block({.name = "outer", .size = 512}) + inner +
                        entry({.name = "last"}) + kEnd)),
           "outer:0 inner:0 last:0");
  CHECK_EQ(listing(good(pax({{"size", "512"}}) + extended('L', "long\0"s) + block({}) + inner +
                        entry({.name = "last"}) + kEnd)),
           "long:512 last:0");
}

TEST(reader_types_without_body_ignore_the_size) {
  const std::string inner = entry({.name = "inner"});
  for (const char type : {'2', '3', '4', '5', '6'}) {
    const Header header{.name = "outer", .type = type, .size = 512, .link = "l"};
    CHECK_EQ(listing(good(block(header) + inner + kEnd)), "outer:0 inner:0");
    CHECK_EQ(listing(good(pax({{"size", "512"}}) +
                          block({.name = "outer", .type = type, .link = "l"}) + inner + kEnd)),
             "outer:0 inner:0");
    // Not even looked at.
    CHECK_EQ(listing(good(
                 block({.name = "outer", .type = type, .link = "l", .patches = {{124, "junk"}}}) +
                 inner + kEnd)),
             "outer:0 inner:0");
  }
}

TEST(reader_hard_link_with_a_body) {
  const Header link{.name = "link", .type = '1', .link = "target"};
  const std::string last = entry({.name = "last"});
  // In a pax archive the body is the content.
  for (const std::string& first : {pax({{"mtime", "1"}}), pax({{"comment", "x"}}, 'g')}) {
    const Reading r = good(first + entry(link, "hello") + last + kEnd);
    CHECK_EQ(listing(r), "link:5 last:0");
    CHECK_EQ(r.entries[0].body, "hello");
  }
  CHECK_EQ(listing(good(pax({{"size", "512"}}) + block(link) + entry({.name = "inner"}) + last)),
           "link:512 last:0");
  // Else a body is passed over,
  for (const size_t size : {1, 5, 512, 513, 5000}) {
    const Reading r = good(entry(link, std::string(size, 'b')) + last + kEnd);
    CHECK_EQ(listing(r), "link:0 last:0");
    CHECK_EQ(r.entries[0].body_size, 0);
  }
  CHECK_EQ(listing(good(entry(link, std::string(5000, '\0')) + last + kEnd)), "link:0 last:0");
  // and a size without a body is none: the next header follows at once, or the end.
  Header sized = link;
  sized.size = 100000;
  CHECK_EQ(listing(good(block(sized) + last + kEnd)), "link:0 last:0");
  CHECK_EQ(listing(good(block(sized) + extended('L', "long\0"s) + last + kEnd)), "link:0 long:0");
  CHECK_EQ(listing(good(block(sized) + kEnd)), "link:0");
  CHECK_EQ(listing(good(block(sized))), "link:0");
  check_refused(block(sized) + "some data", Code::ERR_TRUNCATED);
  check_refused(block(sized) + pad("some data") + kEnd, Code::ERR_TRUNCATED, "hard link");
}

TEST(reader_ends) {
  const std::string file = entry({}, "hello");
  CHECK(good("").entries.empty());
  CHECK(!good(file).saw_end);
  CHECK(!good(file + zeros(1)).saw_end);
  CHECK(good(file + zeros(2)).saw_end);
  CHECK(good(file + zeros(20)).saw_end);
  CHECK(good(zeros(2)).saw_end);
  CHECK(good(zeros(1)).entries.empty());
  // What follows the two zero blocks is not the reader's business.
  CHECK_EQ(good(file + zeros(2) + entry({.name = "after"}) + "junk").entries.size(), 1);
  check_refused(file + zeros(1) + entry({.name = "after"}) + kEnd, Code::ERR_INVALID_TAR,
                "lone zero block");
  check_refused(file + zeros(1) + pad("junk"), Code::ERR_INVALID_TAR, "lone zero block");
  check_refused(pax({{"path", "x"}}) + kEnd, Code::ERR_INVALID_TAR, "without its entry");
  check_refused(extended('L', "long") + kEnd, Code::ERR_INVALID_TAR, "without its entry");
  check_refused("not a tar at all" + zeros(2), Code::ERR_INVALID_TAR, "not a tar");
  check_refused(file + pad("junk"), Code::ERR_INVALID_TAR, "checksum is wrong");
}

TEST(reader_truncation) {
  const std::string parts[] = {
      entry({.name = "a"}, "hello"),
      pax({{"path", "b"}}) + entry({.name = "a"}, std::string(1000, 'x')),
      extended('L', std::string(600, 'n') + "\0"s) + entry({.name = "a"}),
      zeros(1),
      zeros(1),
  };
  std::string tar;
  std::vector<size_t> whole = {0};  // where the stream may end
  for (const std::string& part : parts) {
    tar += part;
    whole.push_back(tar.size());
  }
  for (size_t size = 0; size <= tar.size(); size++) {
    const bool may_end = std::find(whole.begin(), whole.end(), size) != whole.end();
    const Reading r = read(tar.substr(0, size));
    if (may_end) {
      CHECK_OK(r.status);
    } else {
      CHECK_ERROR(r.status, ERR_TRUNCATED);
    }
  }
  // The last body's padding too.
  check_refused(block({.size = 5}) + "hello", Code::ERR_TRUNCATED,
                "file: the tar ends at byte 517");
}

TEST(reader_limits) {
  const auto check_limit = [](const char* name, auto Limits::*limit, uint64_t at_most,
                              const std::string& tar, uint64_t actual) {
    Limits limits;
    limits.*limit = static_cast<std::remove_reference_t<decltype(limits.*limit)>>(at_most);
    CHECK_OK(read(tar, 0, limits).status);
    limits.*limit -= 1;
    const Reading r = read_all_ways(tar, limits);
    CHECK_ERROR(r.status, ERR_LIMIT_EXCEEDED);
    CHECK(r.in_order);
    for (const std::string& text : {std::string(name), " " + std::to_string(actual) + " ",
                                    "at most " + std::to_string(at_most - 1)}) {
      if (r.message().find(text) == std::string::npos) CHECK_EQ(r.message(), text);
    }
  };
  const std::string name(1000, 'n');
  check_limit("maxPathBytes", &Limits::max_path_bytes, 1000, pax({{"path", name}}) + entry({}),
              1000);
  check_limit("maxPathBytes", &Limits::max_path_bytes, 1000, extended('L', name) + entry({}), 1000);
  check_limit("maxPathBytes", &Limits::max_path_bytes, 1000,
              pax({{"linkpath", name}}) + entry({.type = '2'}), 1000);
  check_limit("maxPathBytes", &Limits::max_path_bytes, 50, entry({.name = name.substr(0, 50)}), 50);
  check_limit("maxPaxBytes", &Limits::max_pax_bytes, 99,
              extended('x', record("c", std::string(93, 'c'))) + entry({}), 99);
  check_limit("maxPaxBytes", &Limits::max_pax_bytes, 99,
              extended('g', record("c", std::string(93, 'c'))) + entry({}), 99);
  check_limit("maxPaxBytes", &Limits::max_pax_bytes, 1000, extended('L', name) + entry({}), 1000);
  check_limit("maxPaxBytes", &Limits::max_pax_bytes, 1000,
              extended('K', name) + entry({.type = '2', .link = "l"}), 1000);
  check_limit("maxEntries", &Limits::max_entries, 3, entry({}) + entry({}, "x") + entry({}) + kEnd,
              3);
  check_limit("maxXattrBytes", &Limits::max_xattr_bytes, 20,
              pax({{"SCHILY.xattr.user.a", "1234"},
                   {"SCHILY.xattr.user.b", "1234"},
                   {"comment", "1234567890"}}) +
                  entry({}),
              20);
  // The sum of global and own xattrs counts.
  Limits limits;
  limits.max_xattr_bytes = 10;
  CHECK_ERROR(read(pax({{"SCHILY.xattr.user.a", "1234"}}, 'g') + entry({}) +
                       pax({{"SCHILY.xattr.u", ""}}) + entry({}),
                   0, limits)
                  .status,
              ERR_LIMIT_EXCEEDED);
}

TEST(reader_errors_are_lasting) {
  TarReader reader({});
  const std::string tar = pad("junk") + entry({});
  std::span<const uint8_t> input(reinterpret_cast<const uint8_t*>(tar.data()), tar.size());
  CHECK_ERROR(reader.next(&input), ERR_INVALID_TAR);
  CHECK_ERROR(reader.next(&input), ERR_INVALID_TAR);
  CHECK_ERROR(reader.finish(), ERR_INVALID_TAR);
}

TEST(reader_positions) {
  TarReader reader({});
  const std::string tar = entry({}, "hello") + kEnd + "trailer";
  std::span<const uint8_t> input(reinterpret_cast<const uint8_t*>(tar.data()), tar.size());
  while (!input.empty()) REQUIRE_OK(reader.next(&input));
  CHECK_EQ(reader.position(), tar.size());
  CHECK_EQ(reader.entries(), 1);
}

}  // namespace
}  // namespace ociunpack
