// pax records, and the encodings of LIBARCHIVE.xattr.
#include "tar/pax.h"

#include <string>

#include "tar/text_codec.h"
#include "test/native/check.h"
#include "test/native/tar/tar_builder.h"

namespace ociunpack {
namespace {

using namespace std::string_literals;
using tar_test::record;

// Parses records that must be right; keeps the bytes that the fields point to.
struct Parsed {
  explicit Parsed(std::string records, PaxKind kind = PaxKind::kEntry, const Limits& limits = {})
      : bytes(std::move(records)), status(parse_pax(bytes, kind, limits, &fields)) {}
  std::string bytes;
  PaxFields fields;
  Status status;
  std::string xattr(std::string_view name) const {
    std::string found = "(none)";
    for (const auto& [key, value] : fields.xattrs) {
      if (key == name) found = found == "(none)" ? std::string(value) : "(twice)";
    }
    return found;
  }
};

TEST(pax_values) {
  const Parsed p(record("path", "some/p\xe4th=with\nall") + record("linkpath", "target") +
                 record("size", "8589934592") + record("uid", "4294967294") + record("gid", "0") +
                 record("mtime", "1350244992.023960108") + record("comment", "passed over") +
                 record("VENDOR.unknown", "passed over too") + record("atime", "nonsense"));
  REQUIRE_OK(p.status);
  CHECK_EQ(p.fields.path.value_or(""), "some/p\xe4th=with\nall");
  CHECK_EQ(p.fields.linkpath.value_or(""), "target");
  CHECK_EQ(p.fields.size.value_or(0), UINT64_C(8589934592));
  CHECK_EQ(p.fields.uid.value_or(0), 4294967294u);
  CHECK(p.fields.gid.has_value() && *p.fields.gid == 0);
  REQUIRE(p.fields.mtime.has_value());
  CHECK_EQ(p.fields.mtime->seconds, 1350244992);
  CHECK_EQ(p.fields.mtime->nanoseconds, 23960108u);
}

TEST(pax_times) {
  const struct {
    const char* text;
    int64_t seconds;
    uint32_t nanoseconds;
  } cases[] = {
      {"0", 0, 0},
      {"1.5", 1, 500000000},
      {"1.", 1, 0},
      {"1.000000001", 1, 1},
      {"1.0000000019999", 1, 1},
      {"-1", -1, 0},
      {"-1.25", -2, 750000000},
      {"-0.000000001", -1, 999999999},
      {"-0", 0, 0},
      {"9223372036854775807.9", INT64_MAX, 900000000},
      {"9223372036854775808", INT64_MAX, 999999999},
      {"99999999999999999999999999", INT64_MAX, 999999999},
      {"-9223372036854775807.5", INT64_MIN, 500000000},
      {"-9223372036854775808", INT64_MIN, 0},
      {"-99999999999999999999999999.5", INT64_MIN, 0},
  };
  for (const auto& c : cases) {
    const Parsed p(record("mtime", c.text));
    CHECK_OK(p.status);
    REQUIRE(p.fields.mtime.has_value());
    CHECK_EQ(p.fields.mtime->seconds, c.seconds);
    CHECK_EQ(p.fields.mtime->nanoseconds, c.nanoseconds);
  }
  for (const char* text : {"x", "1e9", "1.5x", ".5", "-", "--1", "+1", " 1", "1 ", "1,5", "0x1"}) {
    CHECK_ERROR(Parsed(record("mtime", text)).status, ERR_INVALID_TAR);
  }
}

TEST(pax_numbers_out_of_range) {
  CHECK_OK(Parsed(record("size", "9223372036854775807")).status);
  CHECK_ERROR(Parsed(record("size", "9223372036854775808")).status, ERR_INVALID_ENTRY);
  CHECK_ERROR(Parsed(record("size", "99999999999999999999999")).status, ERR_INVALID_TAR);
  // (uid_t)-1 means "leave as it is" to chown(2).
  CHECK_ERROR(Parsed(record("uid", "4294967295")).status, ERR_INVALID_ENTRY);
  CHECK_ERROR(Parsed(record("gid", "4294967296")).status, ERR_INVALID_ENTRY);
  for (const char* text : {"-1", "1.5", "0x10", " 1", "1 ", "+1", "one"}) {
    CHECK_ERROR(Parsed(record("size", text)).status, ERR_INVALID_TAR);
    CHECK_ERROR(Parsed(record("uid", text)).status, ERR_INVALID_TAR);
  }
}

TEST(pax_malformed_records) {
  const std::string cases[] = {
      "path=x\n",      // no length
      "x path=x\n",    // a length that is none
      " 10 path=x\n",  // a space before
      "-9 path=x\n",   // a sign
      "9path=x\n",     // no space
      "9",             // only a length
      "9 ",            // and a space
      "0 path=x\n",    // too short for itself
      "2 path=x\n",    //
      "3 path=x\n",    //
      "8 path=x\n",    // one too short: no newline at the end
      "11 path=x\n",   // one too long: beyond the header
      "9 path=xy",     // no newline
      "99999999999999999999999999 path=x\n",
      "18446744073709551644 path=x\n",  // wraps to its 28 bytes in 64 bits
      "7 path\n",                       // no '='
      "5 =x\n",                         // no keyword
      "11 pa\0th=x\n"s,                 // a NUL in the keyword
      record("path", "x") + "\0\0\0"s,  // NULs after the last
      record("path", "x") + "\n",       //
  };
  for (const std::string& body : cases) CHECK_ERROR(Parsed(body).status, ERR_INVALID_TAR);
  CHECK_OK(Parsed("").status);
  CHECK_OK(Parsed("9 path=x\n").status);
  CHECK_OK(Parsed("011 path=x\n").status);
}

TEST(pax_names_with_nul) {
  CHECK_ERROR(Parsed(record("path", "a\0b"s)).status, ERR_INVALID_ENTRY);
  CHECK_ERROR(Parsed(record("path", "a\0"s)).status, ERR_INVALID_ENTRY);
  CHECK_ERROR(Parsed(record("linkpath", "\0"s)).status, ERR_INVALID_ENTRY);
  CHECK_ERROR(Parsed(record("GNU.sparse.name", "a\0b"s)).status, ERR_INVALID_ENTRY);
}

TEST(pax_last_wins_and_empty_takes_away) {
  CHECK_EQ(Parsed(record("path", "a") + record("path", "b")).fields.path.value_or(""), "b");
  const Parsed p(record("path", "a") + record("size", "5") + record("mtime", "5") +
                 record("path", "") + record("size", "") + record("mtime", ""));
  CHECK_OK(p.status);
  CHECK(!p.fields.path && !p.fields.size && !p.fields.mtime);
}

TEST(pax_schilly_xattrs) {
  const std::string value = "a\0b\nc=d\xff"s;
  const Parsed p(
      record("SCHILY.xattr.user.x", value) + record("SCHILY.xattr.user.empty", "") +
      record("SCHILY.xattr.user.twice", "1") + record("SCHILY.xattr.user.twice", "2") +
      record("SCHILY.xattr.user.100%3D", "raw") + record("SCHILY.acl.access", "user::rw-") +
      record("SCHILY.acl.default", "user::rwx") + record("RHT.security.selinux", "label"));
  REQUIRE_OK(p.status);
  CHECK_EQ(p.xattr("user.x"), value);
  CHECK_EQ(p.xattr("user.empty"), "");
  CHECK_EQ(p.xattr("user.twice"), "2");
  CHECK_EQ(p.xattr("user.100%3D"), "raw");
  CHECK_EQ(p.xattr("SCHILY.acl.access"), "user::rw-");
  CHECK_EQ(p.xattr("SCHILY.acl.default"), "user::rwx");
  CHECK_EQ(p.xattr("security.selinux"), "label");
  CHECK_EQ(p.fields.xattrs.size(), 7);
  CHECK_ERROR(Parsed(record("SCHILY.xattr.", "x")).status, ERR_INVALID_TAR);
  CHECK_ERROR(Parsed("22 SCHILY.xattr.a\0b=x\n"s).status, ERR_INVALID_TAR);
}

TEST(pax_many_repeated_xattrs) {
  std::string records;
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 100; i++) {
      records += record("SCHILY.xattr.user.n" + std::to_string(i), std::to_string(round));
    }
  }
  const Parsed p(records);
  REQUIRE_OK(p.status);
  CHECK_EQ(p.fields.xattrs.size(), 100);
  for (int i = 0; i < 100; i++) CHECK_EQ(p.xattr("user.n" + std::to_string(i)), "2");
}

TEST(pax_libarchive_xattrs) {
  const struct {
    const char* encoded;
    std::string value;
  } cases[] = {
      {"", ""},
      {"YQ", "a"},
      {"YQ==", "a"},
      {"YWI", "ab"},
      {"YWI=", "ab"},
      {"YWJj", "abc"},
      {"AAEC/w", "\0\1\2\xff"s},
      {"+/+/", "\xfb\xff\xbf"},
  };
  for (const auto& c : cases) {
    const Parsed p(record("LIBARCHIVE.xattr.user.a%3Db%25c", c.encoded));
    CHECK_OK(p.status);
    CHECK_EQ(p.xattr("user.a=b%c"), c.value);
  }
  for (const char* text :
       {"Y", "YWJjZ", "Y===", "YQ=", "Y Q=", "YQ==YQ==", "!!!!", "YWJ\n", "-_-_"}) {
    CHECK_ERROR(Parsed(record("LIBARCHIVE.xattr.user.a", text)).status, ERR_INVALID_TAR);
  }
  for (const char* name : {"user.%", "user.%3", "user.%zz", "user.%00", ""}) {
    CHECK_ERROR(Parsed(record("LIBARCHIVE.xattr."s + name, "YQ")).status, ERR_INVALID_TAR);
  }
  // The same xattr in both forms, as libarchive writes it.
  const Parsed both(record("SCHILY.xattr.user.a", "one") +
                    record("LIBARCHIVE.xattr.user.a", "b25l"));
  CHECK_EQ(both.xattr("user.a"), "one");
}

TEST(pax_character_sets) {
  CHECK_OK(Parsed(record("hdrcharset", "BINARY") + record("path", "\xff")).status);
  CHECK_OK(Parsed(record("hdrcharset", "ISO-IR 10646 2000 UTF-8")).status);
  CHECK_ERROR(Parsed(record("hdrcharset", "ISO-IR 8859 1 1998")).status, ERR_UNSUPPORTED);
}

TEST(pax_sparse_records) {
  const Parsed pairs(record("GNU.sparse.size", "100") + record("GNU.sparse.numblocks", "2") +
                     record("GNU.sparse.offset", "0") + record("GNU.sparse.numbytes", "5") +
                     record("GNU.sparse.offset", "50") + record("GNU.sparse.numbytes", "7"));
  REQUIRE_OK(pairs.status);
  REQUIRE(pairs.fields.sparse.map.size() == 2);
  CHECK_EQ(pairs.fields.sparse.map[1].offset, 50);
  CHECK_EQ(pairs.fields.sparse.map[1].length, 7);
  const Parsed list(record("GNU.sparse.map", "0,5,50,7"));
  REQUIRE_OK(list.status);
  CHECK_EQ(list.fields.sparse.map.size(), 2);
  CHECK_OK(Parsed(record("GNU.sparse.map", "")).status);

  for (const char* text :
       {"1", "1,", ",", "1,2,", "1,2,3", "1,2,,3", "a,b", "1, 2", "-1,2", "1,2;"}) {
    CHECK_ERROR(Parsed(record("GNU.sparse.map", text)).status, ERR_INVALID_ENTRY);
  }
  const std::string offset = record("GNU.sparse.offset", "0");
  const std::string bytes = record("GNU.sparse.numbytes", "1");
  CHECK_ERROR(Parsed(offset).status, ERR_INVALID_TAR);
  CHECK_ERROR(Parsed(bytes).status, ERR_INVALID_TAR);
  CHECK_ERROR(Parsed(offset + offset + bytes).status, ERR_INVALID_TAR);
  CHECK_ERROR(Parsed(offset + bytes + bytes).status, ERR_INVALID_TAR);
  CHECK_ERROR(Parsed(record("GNU.sparse.offset", "") + bytes).status, ERR_INVALID_TAR);
  CHECK_ERROR(Parsed(offset + bytes + record("GNU.sparse.map", "0,1")).status, ERR_INVALID_TAR);
  CHECK_ERROR(Parsed(record("GNU.sparse.map", "0,1") + offset + bytes).status, ERR_INVALID_TAR);
  CHECK_ERROR(Parsed(record("GNU.sparse.map", "0,1") + record("GNU.sparse.map", "0,1")).status,
              ERR_INVALID_TAR);
  CHECK_ERROR(Parsed(record("GNU.sparse.future", "1")).status, ERR_INVALID_TAR);
  CHECK_ERROR(Parsed(record("GNU.sparse.major", "1"), PaxKind::kGlobal).status, ERR_INVALID_TAR);
}

TEST(pax_multi_volume_parts) {
  CHECK_OK(Parsed(record("GNU.volume.label", "backup")).status);
  CHECK_ERROR(Parsed(record("GNU.volume.offset", "512")).status, ERR_INVALID_TAR);
}

TEST(pax_xattr_limit) {
  Limits limits;
  limits.max_xattr_bytes = 10;
  CHECK_OK(Parsed(record("SCHILY.xattr.user.a", "1234"), PaxKind::kEntry, limits).status);
  const Parsed over(record("SCHILY.xattr.user.a", "12345"), PaxKind::kEntry, limits);
  CHECK_ERROR(over.status, ERR_LIMIT_EXCEEDED);
  CHECK(over.status.error().message().find("maxXattrBytes") != std::string::npos);
  CHECK(over.status.error().message().find("11") != std::string::npos);
  CHECK(over.status.error().message().find("at most 10") != std::string::npos);
}

TEST(pax_globals_hold_until_replaced) {
  PaxGlobals globals;
  CHECK(globals.empty());
  std::string first = record("uid", "7") + record("path", "p") +
                      record("SCHILY.xattr.user.a", "1") + record("SCHILY.xattr.user.b", "2");
  REQUIRE_OK(globals.apply(first, {}));
  first.assign(first.size(), '#');  // the globals keep their own bytes
  std::string second = record("gid", "8") + record("path", "") + record("SCHILY.xattr.user.a", "") +
                       record("SCHILY.xattr.user.c", "3");
  REQUIRE_OK(globals.apply(second, {}));
  second.assign(second.size(), '#');
  const PaxFields& fields = globals.fields();
  CHECK_EQ(fields.uid.value_or(0), 7);
  CHECK_EQ(fields.gid.value_or(0), 8);
  CHECK(!fields.path);
  REQUIRE(fields.xattrs.size() == 2);
  CHECK_EQ(fields.xattrs[0].first, "user.b");
  CHECK_EQ(fields.xattrs[0].second, "2");
  CHECK_EQ(fields.xattrs[1].first, "user.c");
  CHECK_EQ(fields.xattr_bytes, 14);
}

// They would be every entry's: a tar of 4 MB could ask for hours.
TEST(pax_global_xattrs_are_few) {
  Limits limits;
  PaxGlobals globals;
  for (uint32_t i = 0; i < limits.max_global_xattrs; i++) {
    std::string one = record("SCHILY.xattr.user." + std::to_string(i), "1");
    REQUIRE_OK(globals.apply(one, limits));
  }
  std::string more = record("SCHILY.xattr.user.more", "1");
  const Status refused = globals.apply(more, limits);
  REQUIRE(!refused.ok());
  CHECK_EQ(refused.error().code, Code::ERR_LIMIT_EXCEEDED);
  CHECK(refused.error().message().find("maxGlobalXattrs") != std::string::npos);
  more = record("SCHILY.xattr.user.more", "1");
  limits.max_global_xattrs = 65;
  CHECK_OK(globals.apply(more, limits));
}

}  // namespace
}  // namespace ociunpack
