#include "addon/objects.h"

#include <utility>

namespace ociunpack::addon {
namespace {

// Random numbers that only this addon's objects carry (napi_type_tag_object).
constexpr napi_type_tag kGroupTag = {0x5d1f6be0a7c84c52, 0x9f0c7c1b2a3d4e01};
constexpr napi_type_tag kTreeTag = {0x5d1f6be0a7c84c52, 0x9f0c7c1b2a3d4e02};
constexpr napi_type_tag kSessionTag = {0x5d1f6be0a7c84c52, 0x9f0c7c1b2a3d4e03};

template <typename T>
Napi::Value wrap(Napi::Env env, std::shared_ptr<T> held, const napi_type_tag& tag) {
  auto external = Napi::External<std::shared_ptr<T>>::New(
      env, new std::shared_ptr<T>(std::move(held)),
      [](Napi::BasicEnv, std::shared_ptr<T>* pointer) { delete pointer; });
  external.TypeTag(&tag);
  return external;
}

template <typename T>
std::shared_ptr<T> unwrap(Napi::Value value, const napi_type_tag& tag, const char* name) {
  if (value.IsExternal()) {
    const auto external = value.As<Napi::External<std::shared_ptr<T>>>();
    if (external.CheckTypeTag(&tag) && *external.Data()) return *external.Data();
  }
  if (!value.Env().IsExceptionPending()) {
    Napi::TypeError::New(value.Env(), std::string("not a ") + name + " of this addon")
        .ThrowAsJavaScriptException();
  }
  return nullptr;
}

}  // namespace

Napi::Value wrap_group(Napi::Env env, Scheduler::GroupRef group) {
  return wrap(env, std::move(group), kGroupTag);
}

Scheduler::GroupRef unwrap_group(Napi::Value value) {
  return unwrap<Scheduler::Group>(value, kGroupTag, "Group");
}

Napi::Value wrap_tree(Napi::Env env, std::shared_ptr<const TreeView> tree) {
  return wrap(env, std::move(tree), kTreeTag);
}

std::shared_ptr<const TreeView> unwrap_tree(Napi::Value value) {
  if (value.IsNull() || value.IsUndefined()) return nullptr;
  return unwrap<const TreeView>(value, kTreeTag, "LayerTree");
}

void close_tree(Napi::Value value) {
  if (unwrap_tree(value))
    value.As<Napi::External<std::shared_ptr<const TreeView>>>().Data()->reset();
}

Napi::Value wrap_session(Napi::Env env, std::shared_ptr<MetadataSession> session) {
  return wrap(env, std::move(session), kSessionTag);
}

std::shared_ptr<MetadataSession> unwrap_session(Napi::Value value) {
  return unwrap<MetadataSession>(value, kSessionTag, "MetadataSession");
}

void close_session(Napi::Value value) {
  if (unwrap_session(value))
    value.As<Napi::External<std::shared_ptr<MetadataSession>>>().Data()->reset();
}

}  // namespace ociunpack::addon
