// LayerOptions of binding.d.ts to those of the core, and the core's results back.
#pragma once

#include <napi.h>

#include <optional>

#include "addon/args.h"
#include "pipeline/layer_options.h"

namespace ociunpack::addon {

// Nothing, with a pending exception, when the argument is not as binding.d.ts says.
std::optional<LayerOptions> read_layer_options(Napi::Value value);

// Fields of it that others have too.
Format read_format(Fields& fields);
void read_policies(Fields fields, LayerOptions* options);

Napi::Value to_js(Napi::Env env, const LayerResult& result);
Napi::Value to_js(Napi::Env env, const SettleResult& result);

}  // namespace ociunpack::addon
