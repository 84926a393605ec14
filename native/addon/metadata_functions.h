// binding.d.ts: openMetadata and what is done with a MetadataSession.
#pragma once

#include <napi.h>

namespace ociunpack::addon {

void add_metadata_functions(Napi::Env env, Napi::Object exports);

}  // namespace ociunpack::addon
