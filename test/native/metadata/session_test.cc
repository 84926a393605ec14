// Sessions: transactions, ranges as JSON, and what several sessions of one environment see.
#include "metadata/session.h"

#include <filesystem>
#include <thread>

#include "../apply/scratch.h"
#include "../check.h"
#include "metadata/json_array.h"

namespace ociunpack {
namespace {

using check::Scratch;

std::shared_ptr<MetadataEnvironment> open(const Scratch& scratch, bool read_only = false) {
  MetadataOptions options;
  options.read_only = read_only;
  auto opened = MetadataEnvironment::open(scratch.host("."), options);
  return opened.ok() ? std::move(opened).value() : nullptr;
}

void put(MetadataSession& session, const std::vector<std::pair<std::string, std::string>>& all) {
  REQUIRE(session.begin_write().ok());
  for (const auto& [key, value] : all) CHECK(session.put(key, value).ok());
  REQUIRE(session.commit().ok());
}

std::string page(MetadataSession& session, std::string_view prefix, std::string_view after = {},
                 size_t limit = 0) {
  const auto text = session.page({prefix, after, limit});
  return text.ok() ? std::string(text.value()) : text.error().message();
}

TEST(what_is_committed_is_read_by_other_sessions_and_what_is_aborted_is_not) {
  Scratch scratch;
  const auto environment = open(scratch);
  REQUIRE(environment != nullptr);
  CHECK(open(scratch) == environment);        // one for the process
  CHECK(open(scratch, true) == environment);  // to read alone too
  MetadataSession writer(environment);
  MetadataSession reader(environment);
  REQUIRE(reader.begin_read().ok());
  put(writer, {{"a", "1"}});
  CHECK(!reader.get("a").value().has_value());  // one state while it reads
  reader.end_read();
  REQUIRE(reader.begin_read().ok());
  CHECK_EQ(*reader.get("a").value(), "1");
  REQUIRE(writer.begin_write().ok());
  CHECK(writer.remove("a").ok());
  CHECK(writer.remove("none").ok());
  CHECK(!writer.get("a").value().has_value());  // its own writes
  writer.abort();
  CHECK_EQ(*reader.get("a").value(), "1");
}

TEST(a_session_outside_of_a_transaction_reads_and_writes_nothing) {
  Scratch scratch;
  MetadataSession session(open(scratch));
  CHECK_EQ(session.get("a").error().code, Code::ERR_INVALID_ARGUMENT);
  CHECK_EQ(session.page({}).error().code, Code::ERR_INVALID_ARGUMENT);
  REQUIRE(session.begin_read().ok());
  CHECK_EQ(session.put("a", "1").error().code, Code::ERR_INVALID_ARGUMENT);
  CHECK(!session.commit().ok());
  CHECK_EQ(session.get(std::string(5000, 'k')).ok(), true);  // longer than any that can be there
  session.end_read();
  REQUIRE(session.begin_write().ok());
  CHECK_EQ(session.put(std::string(5000, 'k'), "1").error().code, Code::ERR_INVALID_ARGUMENT);
  CHECK(!session.begin_write().ok());
}

TEST(a_range_is_json_without_its_prefix) {
  Scratch scratch;
  MetadataSession session(open(scratch));
  put(session, {{"a\tx", "1"}, {"b\t\"q\\\n\x01", "[2]"}, {"b\tz", "{}"}, {"c\tx", "3"}});
  REQUIRE(session.begin_read().ok());
  CHECK_EQ(page(session, "b\t"),
           R"({"entries":[["\u0022q\u005c\u000a\u0001",[2]],["z",{}]],"more":false})");
  CHECK_EQ(page(session, "b\t", "\"q\\\n\x01"), R"({"entries":[["z",{}]],"more":false})");
  CHECK_EQ(page(session, "b\t", {}, 1),
           R"({"entries":[["\u0022q\u005c\u000a\u0001",[2]]],"more":false})");
  CHECK_EQ(page(session, "d\t"), R"({"entries":[],"more":false})");
  CHECK_EQ(session.count("b\t").value(), size_t{2});
}

TEST(a_long_range_has_several_pages) {
  Scratch scratch;
  MetadataSession session(open(scratch));
  std::vector<std::pair<std::string, std::string>> all;
  for (int i = 0; i < 100; ++i) {
    all.push_back({"k\t" + std::to_string(1000 + i), '"' + std::string(10'000, 'v') + '"'});
  }
  put(session, all);
  REQUIRE(session.begin_read().ok());
  size_t pages = 0;
  size_t entries = 0;
  for (std::string text = page(session, "k\t"); ++pages <= 100;
       text = page(session, "k\t", std::to_string(999 + entries))) {
    for (size_t at = 0; (at = text.find("[\"1", at)) != std::string::npos; ++at) ++entries;
    if (text.ends_with("\"more\":false}")) break;
  }
  CHECK_EQ(entries, size_t{100});
  CHECK(pages > 2 && pages < 10);
}

TEST(columns_are_elements_of_the_values) {
  Scratch scratch;
  MetadataSession session(open(scratch));
  const auto columns = [&](std::vector<uint32_t> fields, std::string_view prefix) {
    if (!session.begin_read().ok()) return std::string("not open");
    const auto page = session.columns({prefix, {}, 0}, fields);
    session.end_read();
    if (!page.ok()) return page.error().message();
    std::string text = page.value().keys;
    for (const std::string& field : page.value().fields) text += " | " + field;
    return text;
  };
  put(session, {{"k\ta", R"([[1,"]"],"x", 3 ,{"a":[4]},-1.5])"},
                {"k\tb", R"([{},"",4,"",0])"},
                {"k\tc", R"([null,"z",5,"\u00e9",7e3])"}});
  CHECK_EQ(columns({1, 2, 4}, "k\t"), "a\nb\nc | x\n\nz | 3\n4\n5 | -1.5\n0\n7e3");
  CHECK_EQ(columns({}, "k\t"), "a\nb\nc");
  CHECK_EQ(columns({0}, "none\t"), " | ");
  // What a line cannot show, and what is not there.
  for (const char* value : {R"(["x\n"])", R"(["x\"y"])", "[\"x\ny\"]", "[[1]]", "[{}]", "[null]",
                            "[]", "5", "", R"(["x])"}) {
    put(session, {{"m\ta", R"(["x"])"}, {"m\tb", value}});
    const std::string told = columns({0}, "m\t");
    CHECK(told.find("what is stored at b is damaged") != std::string::npos);
  }
}

TEST(elements_of_what_is_no_array_are_none) {
  for (const char* json : {"", "7", "[", "]", "[]", "{}", "\"[1]\""}) {
    CHECK(JsonElements(json).next().empty());
  }
  JsonElements broken(R"(["\)");  // never past its end
  CHECK(broken.next().empty());
  JsonElements open_string(R"([1,"x])");
  CHECK_EQ(open_string.next(), "1");
  open_string.next();
  CHECK(open_string.next().empty());
}

TEST(writers_wait_for_each_other_and_closing_takes_back) {
  Scratch scratch;
  const auto environment = open(scratch);
  auto first = std::make_unique<MetadataSession>(environment);
  std::thread thread;
  {
    REQUIRE(first->begin_write().ok());
    CHECK(first->put("a", "1").ok());
    thread = std::thread([&] {
      MetadataSession second(environment);
      CHECK(second.begin_write().ok());
      CHECK(!second.get("a").value().has_value());
      CHECK(second.put("b", "2").ok());
      CHECK(second.commit().ok());
    });
    first.reset();  // what it has not committed is gone
  }
  thread.join();
  MetadataSession reader(environment);
  REQUIRE(reader.begin_read().ok());
  CHECK_EQ(reader.count("").value(), size_t{1});
}

TEST(a_directory_that_is_not_there_or_holds_something_else_is_an_error) {
  Scratch scratch;
  MetadataOptions options;
  auto none = MetadataEnvironment::open(scratch.host("none"), options);
  CHECK_EQ(none.error().code, Code::ERR_NOT_FOUND);
  std::filesystem::create_directory(scratch.host("other"));
  std::FILE* file = std::fopen(scratch.host("other/data.mdb").c_str(), "w");
  std::fputs(std::string(10'000, 'x').c_str(), file);
  std::fclose(file);
  auto other = MetadataEnvironment::open(scratch.host("other"), options);
  CHECK_EQ(other.error().code, Code::ERR_STORE_CORRUPT);
}

}  // namespace
}  // namespace ociunpack
