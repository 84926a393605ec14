// binding.d.ts: auditTree, listMerged.
#pragma once

#include <napi.h>

namespace ociunpack::addon {

void add_audit_functions(Napi::Env env, Napi::Object exports);

}  // namespace ociunpack::addon
