// The addon's exports; binding.d.ts is their contract.
#include <fcntl.h>
#include <napi.h>
#include <sys/file.h>

#include <cerrno>

#include "addon/audit_functions.h"
#include "addon/environment.h"
#include "addon/errors.h"
#include "addon/host_functions.h"
#include "addon/layer_job_object.h"
#include "addon/metadata_functions.h"
#include "addon/objects.h"
#include "addon/promise.h"
#include "addon/text_functions.h"
#include "addon/tree_functions.h"
#include "apply/dir_cache.h"
#include "apply/remove.h"
#include "apply/scan_tree.h"
#include "decode/decoder.h"
#include "digest/sha256.h"
#include "pipeline/scheduler.h"
#include "pipeline/slab.h"
#include "tree/index.h"

namespace ociunpack::addon {
namespace {

bool need_text(const Napi::CallbackInfo& info, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (info[i].IsString()) continue;
    Napi::TypeError::New(info.Env(), "argument " + std::to_string(i + 1) + ": is not a string")
        .ThrowAsJavaScriptException();
    return false;
  }
  return true;
}

Napi::Value error_codes(const Napi::CallbackInfo& info) {
  auto codes = Napi::Array::New(info.Env());
#define OCIUNPACK_PUSH_CODE(name) codes.Set(codes.Length(), #name);
  OCIUNPACK_ERROR_CODES(OCIUNPACK_PUSH_CODE)
#undef OCIUNPACK_PUSH_CODE
  return codes;
}

Napi::Value decoders(const Napi::CallbackInfo& info) {
  auto object = Napi::Object::New(info.Env());
  const bool isal = isal_available();
  object.Set("gzip", isal ? "isa-l" : "zlib");
  object.Set("zstd", std::string(zstd_version()));
  object.Set("isal", isal);
  object.Set("sha256", Sha256::available() ? "sha-extensions" : "openssl");
  return object;
}

Napi::Value workers(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Scheduler::default_concurrency());
}

Napi::Value set_memory_budget(const Napi::CallbackInfo& info) {
  const double bytes = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
  // 2^53: beyond that a number is not exact.
  if (!(bytes >= 1 && bytes <= 9007199254740992.0)) {
    Napi::TypeError::New(info.Env(), "bytes: is not a positive number")
        .ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  SlabPool::instance().set_budget(static_cast<size_t>(bytes));
  return info.Env().Undefined();
}

Napi::Value memory(const Napi::CallbackInfo& info) {
  const SlabPool& pool = SlabPool::instance();
  auto object = Napi::Object::New(info.Env());
  object.Set("budget", static_cast<double>(pool.budget()));
  object.Set("inUse", static_cast<double>(pool.in_use()));
  object.Set("peak", static_cast<double>(pool.peak_in_use()));
  return object;
}

Napi::Value create_group(const Napi::CallbackInfo& info) {
  const double wanted = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
  if (!(wanted >= 0 && wanted <= Scheduler::kMaxWorkers)) {
    Napi::TypeError::New(info.Env(), "concurrency: is not a number from 0 to 64")
        .ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  auto group = Scheduler::instance().make_group(static_cast<unsigned>(wanted));
  if (!group.ok()) return throw_error(info.Env(), group.error());
  return wrap_group(info.Env(), std::move(group).value());
}

Napi::Value load_tree(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!need_text(info, 2)) return env.Undefined();
  auto below = unwrap_tree(info[2]);
  if (env.IsExceptionPending()) return env.Undefined();
  auto tree = load_index(info[0].As<Napi::String>().Utf8Value());
  if (!tree.ok()) return throw_error(env, tree.error());
  auto view = std::make_shared<TreeView>(std::move(tree).value(),
                                         info[1].As<Napi::String>().Utf8Value(), std::move(below));
  const auto directory = view->open_directory();  // whether it is there
  if (!directory.ok()) return throw_error(env, directory.error());
  return wrap_tree(env, std::move(view));
}

Napi::Value move_tree(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto tree = unwrap_tree(info[0]);
  if (env.IsExceptionPending()) return env.Undefined();
  if (tree == nullptr || !info[1].IsString()) {
    Napi::TypeError::New(env, "moveTree: wants a tree and a path").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  tree->move_directory(info[1].As<Napi::String>().Utf8Value());
  return env.Undefined();
}

Napi::Value layers_at_once_function(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(layers_at_once()));
}

Napi::Value close(const Napi::CallbackInfo& info) {
  close_tree(info[0]);
  return info.Env().Undefined();
}

Napi::Value scan(const Napi::CallbackInfo& info) {
  if (!need_text(info, 1)) return info.Env().Undefined();
  using Tree = std::shared_ptr<const TreeView>;
  return run_apart<Tree>(
      info.Env(),
      [path = info[0].As<Napi::String>().Utf8Value()]() -> Result<Tree> {
        OCIUNPACK_ASSIGN(auto tree, scan_tree(path));
        return Tree(std::make_shared<TreeView>(std::move(tree), path, nullptr));
      },
      [](Napi::Env env, Tree& tree) { return wrap_tree(env, std::move(tree)); });
}

// A whole tree of the host, any depth; `path` may not be "/" or end in "..".
Result<bool> remove_host_tree(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") {
    return input_error(Code::ERR_INVALID_ARGUMENT, "remove", path, "this cannot be removed");
  }
  UniqueFd fd(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return system_error(errno, "open", parent);
  OCIUNPACK_TRY(remove_tree(DirHandle{std::move(fd), parent}, name));
  return true;
}

Napi::Value remove_host(const Napi::CallbackInfo& info) {
  if (!need_text(info, 1)) return info.Env().Undefined();
  return run_apart<bool>(
      info.Env(),
      [path = info[0].As<Napi::String>().Utf8Value()] { return remove_host_tree(path); },
      [](Napi::Env env, bool&) -> Napi::Value { return env.Undefined(); });
}

// Allocates what lies beyond the end of the file too, without making it longer.
Napi::Value reserve_space(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsNumber() || !info[1].IsNumber()) {
    Napi::TypeError::New(env, "fd, size: is not a number").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const int fd = info[0].As<Napi::Number>().Int32Value();
  const int64_t size = info[1].As<Napi::Number>().Int64Value();
  int reserved;
  do {
    reserved = ::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, size);
  } while (reserved != 0 && errno == EINTR);
  if (reserved == 0) return Napi::Boolean::New(env, true);
  if (errno == EOPNOTSUPP || errno == ENOSYS) return Napi::Boolean::New(env, false);
  return throw_error(env, system_error(errno, "fallocate", ""));
}

Napi::Value try_lock(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsNumber()) {
    Napi::TypeError::New(env, "fd: is not a number").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  int locked;
  do {
    locked = ::flock(info[0].As<Napi::Number>().Int32Value(), LOCK_EX | LOCK_NB);
  } while (locked != 0 && errno == EINTR);
  if (locked == 0) {
    return Napi::Boolean::New(env, true);
  }
  if (errno == EWOULDBLOCK) return Napi::Boolean::New(env, false);
  return throw_error(env, system_error(errno, "flock", ""));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  Environment::init(env);
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("errorCodes", error_codes);
  add("decoders", decoders);
  add("setMemoryBudget", set_memory_budget);
  add("memory", memory);
  add("workers", workers);
  add("createGroup", create_group);
  add("startLayer", start_layer);
  add("layersAtOnce", layers_at_once_function);
  add("loadTree", load_tree);
  add("moveTree", move_tree);
  add("closeTree", close);
  add("scanTree", scan);
  add("removeTree", remove_host);
  add("tryLock", try_lock);
  add("reserveSpace", reserve_space);
  add_host_functions(env, exports);
  add_tree_functions(env, exports);
  add_audit_functions(env, exports);
  add_metadata_functions(env, exports);
  add_text_functions(env, exports);
  return exports;
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, init)

}  // namespace
}  // namespace ociunpack::addon
