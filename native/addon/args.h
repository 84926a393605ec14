// Reading JavaScript objects strictly: a field of the wrong type is a TypeError that names it.
// After the first one nothing more is read; ok() says whether there was one (it is then pending).
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ociunpack::addon {

class Fields {
 public:
  Fields(Napi::Value value, std::string name);

  bool ok() const { return !object_.Env().IsExceptionPending(); }
  Napi::Env env() const { return object_.Env(); }

  std::string text(const char* field);
  std::optional<std::string> optional_text(const char* field);
  bool boolean(const char* field);
  // Whole numbers from 0 to 2^53 - 1.
  uint64_t number(const char* field);
  std::optional<uint64_t> optional_number(const char* field);
  std::optional<double> optional_double(const char* field);
  Fields object(const char* field);
  Napi::Value value(const char* field);
  bool has(const char* field);

  // One of `choices`, by its name.
  template <typename Choice, size_t Count>
  Choice choice(const char* field, const std::pair<std::string_view, Choice> (&choices)[Count]) {
    const std::string name = text(field);
    for (const auto& [choice_name, choice] : choices) {
      if (choice_name == name) return choice;
    }
    if (ok()) fail(field, "is not one of the known values: " + name);
    return choices[0].second;
  }

  void fail(const char* field, const std::string& what);

 private:
  Napi::Object object_;
  std::string name_;
};

}  // namespace ociunpack::addon
