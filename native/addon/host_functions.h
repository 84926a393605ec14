// The exports about the host: mounts and probes.
#pragma once

#include <napi.h>

namespace ociunpack::addon {

void add_host_functions(Napi::Env env, Napi::Object exports);

}  // namespace ociunpack::addon
