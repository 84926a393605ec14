// Result<T>: a value or an Error. The core throws nothing; every call that can fail returns one.
#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "base/error.h"

namespace ociunpack {

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // SAFETY: value() only after ok(), error() only after !ok(); the variant aborts on misuse.
  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T&& value() && { return std::move(*std::get_if<0>(&state_)); }
  Error& error() & { return *std::get_if<1>(&state_); }
  const Error& error() const& { return *std::get_if<1>(&state_); }
  Error&& error() && { return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

// Returns the error of `expression` (a Status) from the enclosing function, if it has one.
#define OCIUNPACK_TRY(expression)                                \
  do {                                                           \
    if (auto status_ = (expression); !status_.ok()) [[unlikely]] \
      return std::move(status_).error();                         \
  } while (0)

// Declares `declaration` from the value of `expression` (a Result<T>), or returns its error.
#define OCIUNPACK_CONCAT_(a, b) a##b
#define OCIUNPACK_CONCAT(a, b) OCIUNPACK_CONCAT_(a, b)
#define OCIUNPACK_ASSIGN(declaration, expression) \
  OCIUNPACK_ASSIGN_(declaration, expression, OCIUNPACK_CONCAT(result_, __LINE__))
#define OCIUNPACK_ASSIGN_(declaration, expression, name) \
  auto name = (expression);                              \
  if (!name.ok()) [[unlikely]]                           \
    return std::move(name).error();                      \
  declaration = std::move(name).value()

}  // namespace ociunpack
