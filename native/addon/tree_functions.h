// The exports about whole trees on disk: copying, measuring, syncing.
#pragma once

#include <napi.h>

namespace ociunpack::addon {

void add_tree_functions(Napi::Env env, Napi::Object exports);

}  // namespace ociunpack::addon
