#include "addon/errors.h"

#include <cstdio>

namespace ociunpack::addon {
namespace {

// The length of the UTF-8 sequence at `at`, or 0 where there is none (RFC 3629).
size_t utf8_length(const std::string& bytes, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[at + i]); };
  const size_t left = bytes.size() - at;
  const auto continues = [&](size_t count) {
    if (left <= count) return false;
    for (size_t i = 1; i <= count; ++i) {
      if ((byte(i) & 0xC0) != 0x80) return false;
    }
    return true;
  };
  if (byte(0) < 0x80) return 1;
  if (byte(0) >= 0xC2 && byte(0) <= 0xDF && continues(1)) return 2;
  if ((byte(0) & 0xF0) == 0xE0 && continues(2)) {
    if (byte(0) == 0xE0 && byte(1) < 0xA0) return 0;
    if (byte(0) == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (byte(0) >= 0xF0 && byte(0) <= 0xF4 && continues(3)) {
    if (byte(0) == 0xF0 && byte(1) < 0x90) return 0;
    if (byte(0) == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

Napi::String to_js_text(Napi::Env env, const std::string& bytes) {
  bool valid = true;
  for (size_t at = 0; at < bytes.size() && valid;) {
    const size_t length = utf8_length(bytes, at);
    valid = length > 0;
    at += length;
  }
  if (valid) return Napi::String::New(env, bytes);
  std::string escaped;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = utf8_length(bytes, at);
    if (length == 0) {
      char hex[5];
      std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned char>(bytes[at++]));
      escaped += hex;
    } else {
      if (bytes[at] == '\\') escaped += '\\';
      escaped.append(bytes, at, length);
      at += length;
    }
  }
  return Napi::String::New(env, escaped);
}

Napi::Error to_js_error(Napi::Env env, const Error& error) {
  Napi::Error result = Napi::Error::New(env, to_js_text(env, error.message()).Utf8Value());
  Napi::Object object = result.Value();
  object.Set("code", std::string(code_name(error.code)));
  if (error.error_number != 0) {
    object.Set("errno", errno_name(error.error_number));
    object.Set("syscall", error.operation);
  }
  if (!error.path.empty()) object.Set("path", to_js_text(env, error.path));
  return result;
}

Napi::Value throw_error(Napi::Env env, const Error& error) {
  to_js_error(env, error).ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace ociunpack::addon
