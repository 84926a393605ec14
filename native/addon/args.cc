#include "addon/args.h"

#include <cmath>

namespace ociunpack::addon {
namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;

}  // namespace

Fields::Fields(Napi::Value value, std::string name)
    : object_(Napi::Object::New(value.Env())), name_(std::move(name)) {
  if (!ok()) return;
  if (!value.IsObject()) {
    Napi::TypeError::New(value.Env(), name_ + ": is not an object").ThrowAsJavaScriptException();
    return;
  }
  object_ = value.As<Napi::Object>();
}

void Fields::fail(const char* field, const std::string& what) {
  if (!ok()) return;
  Napi::TypeError::New(env(), name_ + "." + field + ": " + what).ThrowAsJavaScriptException();
}

Napi::Value Fields::value(const char* field) {
  if (!ok()) return env().Undefined();
  const Napi::Value value = object_.Get(field);
  return ok() ? value : env().Undefined();
}

bool Fields::has(const char* field) {
  const Napi::Value found = value(field);
  return !found.IsUndefined() && !found.IsNull();
}

std::string Fields::text(const char* field) {
  const Napi::Value found = value(field);
  if (!found.IsString()) {
    fail(field, "is not a string");
    return {};
  }
  return found.As<Napi::String>().Utf8Value();
}

std::optional<std::string> Fields::optional_text(const char* field) {
  if (!has(field)) return std::nullopt;
  return text(field);
}

bool Fields::boolean(const char* field) {
  const Napi::Value found = value(field);
  if (!found.IsBoolean()) {
    fail(field, "is not a boolean");
    return false;
  }
  return found.As<Napi::Boolean>().Value();
}

uint64_t Fields::number(const char* field) {
  const Napi::Value found = value(field);
  const double number = found.IsNumber() ? found.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= kMaxSafeInteger) || std::floor(number) != number) {
    fail(field, "is not a whole number from 0 to 2^53 - 1");
    return 0;
  }
  return static_cast<uint64_t>(number);
}

std::optional<uint64_t> Fields::optional_number(const char* field) {
  if (!has(field)) return std::nullopt;
  return number(field);
}

std::optional<double> Fields::optional_double(const char* field) {
  if (!has(field)) return std::nullopt;
  const Napi::Value found = value(field);
  if (!found.IsNumber()) {
    fail(field, "is not a number");
    return std::nullopt;
  }
  return found.As<Napi::Number>().DoubleValue();
}

Fields Fields::object(const char* field) { return {value(field), name_ + "." + field}; }

}  // namespace ociunpack::addon
