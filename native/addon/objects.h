// JavaScript objects that hold objects of the core: opaque, tagged so that one cannot be passed for
// another, freed with their last reference.
#pragma once

#include <napi.h>

#include <memory>

#include "metadata/session.h"
#include "pipeline/scheduler.h"
#include "tree/view.h"

namespace ociunpack::addon {

// binding.d.ts: Group.
Napi::Value wrap_group(Napi::Env env, Scheduler::GroupRef group);
// A null reference, and a pending TypeError, for anything else.
Scheduler::GroupRef unwrap_group(Napi::Value value);

// binding.d.ts: LayerTree.
Napi::Value wrap_tree(Napi::Env env, std::shared_ptr<const TreeView> tree);
// JavaScript's null is a null reference without an error.
std::shared_ptr<const TreeView> unwrap_tree(Napi::Value value);
// Lets go of the tree now, not when the object is collected; using it afterwards is a TypeError.
void close_tree(Napi::Value value);

// binding.d.ts: MetadataSession.
Napi::Value wrap_session(Napi::Env env, std::shared_ptr<MetadataSession> session);
std::shared_ptr<MetadataSession> unwrap_session(Napi::Value value);
void close_session(Napi::Value value);

}  // namespace ociunpack::addon
