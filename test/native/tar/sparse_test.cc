// Sparse files in all their forms, read whole and byte by byte.
#include "tar/sparse.h"

#include <string>

#include "test/native/check.h"
#include "test/native/tar/tar_builder.h"

namespace ociunpack {
namespace {

using namespace std::string_literals;
using namespace tar_test;
using Map = std::vector<std::pair<uint64_t, uint64_t>>;

std::string pairs(const Map& map) {
  std::string bytes;
  for (const auto& [offset, length] : map) bytes += octal(offset, 12) + octal(length, 12);
  return bytes;
}

// An old GNU sparse entry: four pairs in the header, 21 in each extension block.
std::string old_gnu(const Map& map, uint64_t real_size, const std::string& data) {
  const auto part = [&map](size_t from, size_t count) {
    return Map(map.begin() + std::min(from, map.size()),
               map.begin() + std::min(from + count, map.size()));
  };
  std::string tar = block({.name = "sparse",
                           .type = 'S',
                           .size = data.size(),
                           .magic = kGnuMagic,
                           .patches = {{386, pairs(part(0, 4))},
                                       {482, map.size() > 4 ? "\1"s : ""s},
                                       {483, octal(real_size, 12)}}});
  for (size_t at = 4; at < map.size(); at += 21) {
    std::string extension = pairs(part(at, 21));
    extension.resize(512, '\0');
    if (at + 21 < map.size()) extension[504] = 1;
    tar += extension;
  }
  return tar + pad(data);
}

std::string pax_sparse(const Records& records, const std::string& data, char type = '0') {
  return pax(records) + entry({.name = "GNUSparseFile.1/sparse", .type = type}, data);
}

const std::string kAfter = entry({.name = "after"}, "x") + zeros(2);

// The one sparse entry, followed by the entry `after`.
void check_sparse(const std::string& tar, uint64_t size, const Map& map, const std::string& data,
                  const char* name = "sparse") {
  const Reading r = read_all_ways(tar + kAfter);
  CHECK_OK(r.status);
  CHECK(r.in_order);
  REQUIRE(r.entries.size() == 2);
  const ReadEntry& e = r.entries[0];
  CHECK_EQ(e.path, name);
  CHECK(e.type == EntryType::kFile);
  CHECK(e.has_sparse_map);
  CHECK_EQ(e.size, size);
  CHECK_EQ(e.body_size, data.size());
  CHECK(e.sparse_map == map);
  CHECK_EQ(e.body, data);
  CHECK_EQ(r.entries[1].path, "after");
  CHECK(!r.entries[1].has_sparse_map && r.entries[1].sparse_map.empty());
}

void check_refused(const std::string& tar, Code code = Code::ERR_INVALID_ENTRY) {
  const Reading r = read_all_ways(tar + kAfter);
  CHECK(!r.status.ok());
  CHECK_EQ(r.code(), code);
  CHECK(r.in_order);
  CHECK_EQ(r.entries.size(), 0);
}

TEST(sparse_old_gnu) {
  check_sparse(old_gnu({{0, 3}, {1000, 2}}, 5000, "abcde"), 5000, {{0, 3}, {1000, 2}}, "abcde");
  // GNU tar ends the map with an empty extent at the file's end.
  check_sparse(old_gnu({{10, 3}, {5000, 0}}, 5000, "abc"), 5000, {{10, 3}}, "abc");
  check_sparse(old_gnu({{1 << 30, 0}}, 1 << 30, ""), 1 << 30, {}, "");
  check_sparse(old_gnu({}, 4096, ""), 4096, {}, "");
}

TEST(sparse_old_gnu_extension_blocks) {
  for (const size_t count : {4, 5, 24, 25, 26, 46, 47, 100}) {
    Map map;
    std::string data;
    for (size_t i = 0; i < count; i++) {
      map.emplace_back(i * 1000, 7);
      data += "data" + std::to_string(100 + i);
    }
    check_sparse(old_gnu(map, 1000 * count, data), 1000 * count, map, data);
  }
}

TEST(sparse_old_gnu_refused) {
  check_refused(old_gnu({{0, 3}}, 5000, "abcd"));             // the sum is not the body's size
  check_refused(old_gnu({{0, 5}}, 5000, "abcd"));             //
  check_refused(old_gnu({{0, 3}, {2, 2}}, 5000, "abcde"));    // overlap
  check_refused(old_gnu({{100, 3}, {0, 2}}, 5000, "abcde"));  // order
  check_refused(old_gnu({{4998, 3}}, 5000, "abc"));           // beyond the size
  check_refused(old_gnu({{6000, 0}}, 5000, ""));              //
  check_refused(block({.type = 'S', .magic = kUstarMagic}));  // not GNU's layout
  const std::string huge = "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"s;
  check_refused(block({.type = 'S', .magic = kGnuMagic, .patches = {{386, huge + huge}}}));
  check_refused(block({.type = 'S', .magic = kGnuMagic, .patches = {{386, "junk"}, {398, "1"}}}));
  check_refused(block({.type = 'S',
                       .magic = kGnuMagic,
                       .patches = {{386, pairs({{0, 0}})}, {482, "\1"}, {483, octal(9, 12)}}}));
  check_refused(pax({{"GNU.sparse.map", "0,1"}, {"GNU.sparse.size", "5"}}) +
                old_gnu({{0, 1}}, 5, "a"));
}

TEST(sparse_pax_0_0) {
  check_sparse(pax_sparse({{"path", "sparse"},
                           {"GNU.sparse.size", "5000"},
                           {"GNU.sparse.numblocks", "2"},
                           {"GNU.sparse.offset", "0"},
                           {"GNU.sparse.numbytes", "3"},
                           {"GNU.sparse.offset", "1000"},
                           {"GNU.sparse.numbytes", "2"}},
                          "abcde"),
               5000, {{0, 3}, {1000, 2}}, "abcde");
}

TEST(sparse_pax_0_1) {
  check_sparse(pax_sparse({{"GNU.sparse.size", "5000"},
                           {"GNU.sparse.numblocks", "3"},
                           {"GNU.sparse.name", "sparse"},
                           {"GNU.sparse.map", "0,3,1000,2,5000,0"}},
                          "abcde"),
               5000, {{0, 3}, {1000, 2}}, "abcde");
  // With the version said, under type '\0', and with the packed size in the pax header.
  check_sparse(pax({{"GNU.sparse.major", "0"},
                    {"GNU.sparse.minor", "1"},
                    {"GNU.sparse.size", "9"},
                    {"path", "passed/over"},
                    {"size", "2"},
                    {"GNU.sparse.name", "sparse"},
                    {"GNU.sparse.map", "7,2"}}) +
                   block({.type = '\0'}) + pad("ab"),
               9, {{7, 2}}, "ab");
}

TEST(sparse_pax_1_0) {
  const Records records = {{"GNU.sparse.major", "1"},
                           {"GNU.sparse.minor", "0"},
                           {"GNU.sparse.name", "sparse"},
                           {"GNU.sparse.realsize", "5000"}};
  check_sparse(pax_sparse(records, pad("2\n0\n3\n1000\n2\n") + "abcde"), 5000, {{0, 3}, {1000, 2}},
               "abcde");
  check_sparse(pax_sparse(records, pad("0\n")), 5000, {}, "");
  check_sparse(pax_sparse(records, pad("1\n5000\n0\n")), 5000, {}, "");
  // A map that fills its block to the byte, and one that needs several.
  check_sparse(pax_sparse(records, "1\n" + std::string(504, '0') + "100\n2\n" + "ab"), 5000,
               {{100, 2}}, "ab");
  std::string text = "400\n";
  Map map;
  std::string data;
  for (size_t i = 0; i < 400; i++) {
    text += std::to_string(i * 12) + "\n1\n";
    map.emplace_back(i * 12, 1);
    data += static_cast<char>('a' + i % 26);
  }
  check_sparse(pax_sparse(records, pad(text) + data), 5000, map, data);
}

TEST(sparse_pax_1_0_refused) {
  const Records records = {
      {"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.realsize", "5000"}};
  check_refused(pax_sparse(records, ""));                             // no map
  check_refused(pax_sparse(records, "0\n"));                          // no padding
  check_refused(pax_sparse(records, pad("\n")));                      // an empty line
  check_refused(pax_sparse(records, pad("x\n")));                     // no number
  check_refused(pax_sparse(records, pad("-1\n")));                    //
  check_refused(pax_sparse(records, pad("1\n0\n")));                  // ends early
  check_refused(pax_sparse(records, pad("1 0 5\n")));                 //
  check_refused(pax_sparse(records, pad("1\n0\n5\n") + "abcd"));      // the sum
  check_refused(pax_sparse(records, pad("1\n4999\n2\n") + "ab"));     // beyond the size
  check_refused(pax_sparse(records, pad("2\n9\n1\n0\n1\n") + "ab"));  // order
  check_refused(pax_sparse(records, pad("1\n99999999999999999999\n0\n")));
  check_refused(pax_sparse(records, pad("1\n9223372036854775807\n9223372036854775807\n") + "ab"));
  check_refused(pax_sparse(records, pad("99999999\n")), Code::ERR_LIMIT_EXCEEDED);
}

TEST(sparse_pax_refused) {
  const std::string none;
  check_refused(pax_sparse({{"GNU.sparse.map", "0,1"}}, "a"));  // no size
  check_refused(pax_sparse({{"GNU.sparse.size", "5"}}, "a"));   // no map
  check_refused(pax_sparse(
      {{"GNU.sparse.size", "5"}, {"GNU.sparse.numblocks", "2"}, {"GNU.sparse.map", "0,1"}}, "a"));
  check_refused(pax_sparse({{"GNU.sparse.size", "5"}, {"GNU.sparse.map", "0,2"}}, "a"));
  check_refused(pax_sparse(
      {{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "1"}, {"GNU.sparse.realsize", "5"}},
      pad("0\n")));
  check_refused(pax_sparse({{"GNU.sparse.major", "2"}, {"GNU.sparse.realsize", "5"}}, pad("0\n")));
  check_refused(pax_sparse(
      {{"GNU.sparse.major", "1"}, {"GNU.sparse.realsize", "5"}, {"GNU.sparse.map", "0,1"}}, "a"));
  for (const char type : {'1', '2', '3', '5', '6'}) {
    check_refused(pax({{"GNU.sparse.size", "5"}, {"GNU.sparse.map", "0,0"}}) +
                  block({.type = type, .link = "l"}));
  }
}

TEST(sparse_map_limit) {
  Limits limits;
  limits.max_sparse_entries = 30;
  const auto status = [&limits](size_t count, int form) {
    Map map;
    std::string list;
    std::string lines = std::to_string(count) + "\n";
    std::string data;
    Records offsets = {{"GNU.sparse.size", "5000"}};
    for (size_t i = 0; i < count; i++) {
      const std::string at = std::to_string(i * 10);
      map.emplace_back(i * 10, 1);
      list += (i > 0 ? "," : "") + at + ",1";
      lines += at + "\n1\n";
      offsets.insert(offsets.end(), {{"GNU.sparse.offset", at}, {"GNU.sparse.numbytes", "1"}});
      data += "x";
    }
    const std::string tar =
        form == 0   ? old_gnu(map, 5000, data)
        : form == 1 ? pax_sparse(offsets, data)
        : form == 2 ? pax_sparse({{"GNU.sparse.size", "5000"}, {"GNU.sparse.map", list}}, data)
                    : pax_sparse({{"GNU.sparse.major", "1"}, {"GNU.sparse.realsize", "5000"}},
                                 pad(lines) + data);
    return read(tar, 0, limits).status;
  };
  for (int form = 0; form < 4; form++) {
    CHECK_OK(status(30, form));
    const Status over = status(31, form);
    CHECK_ERROR(over, ERR_LIMIT_EXCEEDED);
    if (over.ok()) continue;
    CHECK(over.error().message().find("maxSparseEntries") != std::string::npos);
    CHECK(over.error().message().find("at most 30") != std::string::npos);
  }
}

TEST(sparse_truncated) {
  const std::string tars[] = {
      old_gnu({{0, 1}, {10, 1}, {20, 1}, {30, 1}, {40, 1}}, 5000, "abcde"),
      pax_sparse({{"GNU.sparse.major", "1"}, {"GNU.sparse.realsize", "5000"}},
                 pad("1\n0\n3\n") + "abc"),
  };
  for (const std::string& tar : tars) {
    for (size_t size = 1; size < tar.size(); size += 37) {
      CHECK_ERROR(read(tar.substr(0, size)).status, ERR_TRUNCATED);
    }
    CHECK_OK(read(tar).status);
  }
}

}  // namespace
}  // namespace ociunpack
