// Errors of the core as JavaScript errors: {code, message} and, where there are any, {syscall,
// errno, path}. TypeScript makes UnpackError of them.
#pragma once

#include <napi.h>

#include <string>

#include "base/error.h"

namespace ociunpack::addon {

Napi::Error to_js_error(Napi::Env env, const Error& error);

// Throws it when the function returns; the value to return.
Napi::Value throw_error(Napi::Env env, const Error& error);

// A string of bytes that may not be UTF-8 (paths): invalid bytes become \xNN, backslashes \\ where
// there is any invalid byte.
Napi::String to_js_text(Napi::Env env, const std::string& bytes);

}  // namespace ociunpack::addon
