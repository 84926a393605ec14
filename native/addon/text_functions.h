// binding.d.ts: drawTable; and how texts become strings of JavaScript.
#pragma once

#include <napi.h>

#include <string_view>

namespace ociunpack::addon {

// A string of UTF-8.
Napi::Value text_of(Napi::Env env, std::string_view text);

void add_text_functions(Napi::Env env, Napi::Object exports);

}  // namespace ociunpack::addon
