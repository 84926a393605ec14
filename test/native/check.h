// The test harness of native/: TEST(name) registers a case; CHECK and CHECK_EQ record a failure and
// go on; REQUIRE and REQUIRE_OK also leave the (void) function; SKIP("why") ends a case that this
// host cannot run, and prints the reason. Checks may be made from any thread.
#pragma once

#include <concepts>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/error.h"

namespace ociunpack::check {

struct TestCase {
  const char* name;
  const char* file;
  void (*run)();
  TestCase* next;
};

// Called by TEST before main; the list keeps the pointer.
bool add(TestCase* test);

// Records a failed check of the running test.
void fail(const char* file, int line, const std::string& what);

// Marks the running test as skipped.
void skip(std::string_view reason);

// Prints `value` for a failure message: strings quoted with other bytes as \xNN, enums as numbers.
std::string quote(std::string_view bytes);
template <typename T>
std::string show(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_same_v<T, Code>) {
    return std::string(code_name(value));
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return quote(value);
  } else if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<long long>(value));
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(value);
  } else if constexpr (requires(std::ostream & out) { out << value; }) {
    std::ostringstream out;
    out << value;
    return out.str();
  } else {
    return "(unprintable)";
  }
}

// == that compares integers of different signs by value and char pointers by content.
template <typename T>
concept Integer = std::is_integral_v<T> && !std::same_as<T, bool> && !std::same_as<T, char> &&
                  !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
                  !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;
template <typename A, typename B>
bool equal(const A& a, const B& b) {
  if constexpr (Integer<A> && Integer<B>) {
    return std::cmp_equal(a, b);
  } else if constexpr (std::is_convertible_v<const A&, std::string_view> &&
                       std::is_convertible_v<const B&, std::string_view>) {
    return std::string_view(a) == std::string_view(b);
  } else {
    return a == b;
  }
}

template <typename A, typename B>
bool check_eq(const A& a, const B& b, const char* text, const char* file, int line) {
  if (equal(a, b)) return true;
  fail(file, line, std::string(text) + "\n    left:  " + show(a) + "\n    right: " + show(b));
  return false;
}

template <typename R>
bool check_ok(const R& result, const char* text, const char* file, int line) {
  if (result.ok()) return true;
  fail(file, line,
       std::string(text) + " is an error: " + std::string(code_name(result.error().code)) + " " +
           result.error().message());
  return false;
}

}  // namespace ociunpack::check

#define TEST(name)                                                                         \
  static void test_##name();                                                               \
  static ::ociunpack::check::TestCase case_##name{#name, __FILE__, test_##name, nullptr};  \
  [[maybe_unused]] static const bool added_##name = ::ociunpack::check::add(&case_##name); \
  static void test_##name()

#define CHECK(...)         \
  ((__VA_ARGS__) ? (void)0 \
                 : ::ociunpack::check::fail(__FILE__, __LINE__, "CHECK(" #__VA_ARGS__ ")"))

#define CHECK_EQ(a, b) \
  ((void)::ociunpack::check::check_eq((a), (b), "CHECK_EQ(" #a ", " #b ")", __FILE__, __LINE__))

// `result` is a Result<T> or Status that must be ok; its error is printed otherwise.
#define CHECK_OK(...) \
  ((void)::ociunpack::check::check_ok((__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__))

// `result` must be an error with `expected_code` (a name such as ERR_TRUNCATED).
#define CHECK_ERROR(result, expected_code)                                                 \
  do {                                                                                     \
    const auto& checked_result_ = (result);                                                \
    if (checked_result_.ok()) {                                                            \
      ::ociunpack::check::fail(__FILE__, __LINE__, #result " is ok, not " #expected_code); \
    } else {                                                                               \
      ::ociunpack::check::check_eq(                                                        \
          checked_result_.error().code, ::ociunpack::Code::expected_code,                  \
          ("code of " #result ": " + checked_result_.error().message()).c_str(), __FILE__, \
          __LINE__);                                                                       \
    }                                                                                      \
  } while (0)

#define REQUIRE(...)                                                             \
  do {                                                                           \
    if (!(__VA_ARGS__)) {                                                        \
      ::ociunpack::check::fail(__FILE__, __LINE__, "REQUIRE(" #__VA_ARGS__ ")"); \
      return;                                                                    \
    }                                                                            \
  } while (0)

#define REQUIRE_OK(...)                                                                         \
  do {                                                                                          \
    if (!::ociunpack::check::check_ok((__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)) return; \
  } while (0)

#define SKIP(reason)                    \
  do {                                  \
    ::ociunpack::check::skip((reason)); \
    return;                             \
  } while (0)
