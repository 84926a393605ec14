// binding.d.ts: LayerJob.
#pragma once

#include <napi.h>

namespace ociunpack::addon {

Napi::Value start_layer(const Napi::CallbackInfo& info);

}  // namespace ociunpack::addon
