#include "addon/host_functions.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "addon/args.h"
#include "addon/errors.h"
#include "addon/promise.h"
#include "host/mount.h"
#include "host/probes.h"
#include "host/xattr.h"

namespace ociunpack::addon {
namespace {

Napi::Value undefined(Napi::Env env, bool&) { return env.Undefined(); }

Result<bool> done(Status status) {
  if (!status.ok()) return std::move(status).error();
  return true;
}

Napi::Value mount_overlay_function(const Napi::CallbackInfo& info) {
  Fields fields(info[0], "options");
  OverlayMount options;
  const Napi::Value lowers = fields.value("lowers");
  if (!lowers.IsArray()) fields.fail("lowers", "is not an array");
  for (uint32_t i = 0; fields.ok() && i < lowers.As<Napi::Array>().Length(); ++i) {
    options.lowers.push_back(lowers.As<Napi::Array>().Get(i).ToString().Utf8Value());
  }
  options.upper = fields.optional_text("upper").value_or("");
  options.work = fields.optional_text("work").value_or("");
  options.target = fields.text("target");
  options.userxattr = fields.boolean("userxattr");
  if (fields.has("options")) {
    const Napi::Value more = fields.value("options");
    if (!more.IsArray()) fields.fail("options", "is not an array");
    for (uint32_t i = 0; fields.ok() && i < more.As<Napi::Array>().Length(); ++i) {
      options.options.push_back(more.As<Napi::Array>().Get(i).ToString().Utf8Value());
    }
  }
  if (!fields.ok()) return info.Env().Undefined();
  return run_apart<bool>(
      info.Env(), [options] { return done(mount_overlay(options)); }, undefined);
}

Napi::Value mount_bind_function(const Napi::CallbackInfo& info) {
  Fields fields(info[0], "options");
  const std::string source = fields.text("source");
  const std::string target = fields.text("target");
  const bool read_only = fields.boolean("readOnly");
  if (!fields.ok()) return info.Env().Undefined();
  return run_apart<bool>(
      info.Env(), [=] { return done(mount_bind(source, target, read_only)); }, undefined);
}

Napi::Value mount_plain_function(const Napi::CallbackInfo& info) {
  Fields fields(info[0], "options");
  const std::string type = fields.text("type");
  const std::string source = fields.text("source");
  const std::string target = fields.text("target");
  const std::string data = fields.text("data");
  const bool read_only = fields.boolean("readOnly");
  if (!fields.ok()) return info.Env().Undefined();
  return run_apart<bool>(
      info.Env(), [=] { return done(mount_plain(type, source, target, data, read_only)); },
      undefined);
}

Napi::Value unmount_function(const Napi::CallbackInfo& info) {
  Fields fields(info[0], "options");
  const std::string target = fields.text("target");
  const bool lazy = fields.boolean("lazy");
  if (!fields.ok()) return info.Env().Undefined();
  return run_apart<bool>(
      info.Env(), [=] { return done(unmount(target, lazy)); }, undefined);
}

Napi::Value probe_function(const Napi::CallbackInfo& info) {
  if (!info[0].IsString()) {
    Napi::TypeError::New(info.Env(), "directory: is not a string").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  using Probes = std::vector<Probe>;
  return run_apart<Probes>(
      info.Env(),
      [directory = info[0].As<Napi::String>().Utf8Value()]() -> Result<Probes> {
        return probe_host(directory);
      },
      [](Napi::Env env, Probes& probes) -> Napi::Value {
        auto array = Napi::Array::New(env, probes.size());
        for (uint32_t i = 0; i < probes.size(); ++i) {
          auto object = Napi::Object::New(env);
          object.Set("id", probes[i].id);
          object.Set("status", probes[i].status);
          object.Set("value", to_js_text(env, probes[i].value));
          object.Set("evidence", to_js_text(env, probes[i].evidence));
          array.Set(i, object);
        }
        return array;
      });
}

Napi::Value read_xattr_function(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Fields fields(info[0], "options");
  const std::string path = fields.text("path");
  const std::string name = fields.text("name");
  if (!fields.ok()) return env.Undefined();
  const auto value = read_xattr(path, name);
  if (!value.ok()) return throw_error(env, value.error());
  if (!value.value()) return env.Null();
  return Napi::Buffer<char>::Copy(env, value.value()->data(), value.value()->size());
}

Napi::Value write_xattr_function(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Fields fields(info[0], "options");
  const std::string path = fields.text("path");
  const std::string name = fields.text("name");
  const std::string value = fields.text("value");
  if (!fields.ok()) return env.Undefined();
  const Status status = write_xattr(path, name, value);
  return status.ok() ? env.Undefined() : throw_error(env, status.error());
}

}  // namespace

void add_host_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("mountOverlay", Napi::Function::New(env, mount_overlay_function, "mountOverlay"));
  exports.Set("mountBind", Napi::Function::New(env, mount_bind_function, "mountBind"));
  exports.Set("mountPlain", Napi::Function::New(env, mount_plain_function, "mountPlain"));
  exports.Set("unmount", Napi::Function::New(env, unmount_function, "unmount"));
  exports.Set("readXattr", Napi::Function::New(env, read_xattr_function, "readXattr"));
  exports.Set("writeXattr", Napi::Function::New(env, write_xattr_function, "writeXattr"));
  exports.Set("probeHost", Napi::Function::New(env, probe_function, "probeHost"));
}

}  // namespace ociunpack::addon
