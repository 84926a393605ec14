#include "addon/tree_functions.h"

#include <fcntl.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "addon/args.h"
#include "addon/promise.h"
#include "apply/copy_tree.h"
#include "base/unique_fd.h"
#include "host/disk_usage.h"
#include "host/exchange.h"

namespace ociunpack::addon {
namespace {

Napi::Value undefined(Napi::Env env, bool&) { return env.Undefined(); }

Napi::Value counts_to_js(Napi::Env env, CopyCounts& counts) {
  auto object = Napi::Object::New(env);
  object.Set("entries", static_cast<double>(counts.entries));
  object.Set("reflinked", static_cast<double>(counts.reflinked));
  object.Set("bytes", static_cast<double>(counts.bytes));
  return object;
}

Napi::Value copy_tree_function(const Napi::CallbackInfo& info) {
  Fields fields(info[0], "options");
  const std::string from = fields.text("from");
  const std::string to = fields.text("to");
  const uint64_t threads = fields.number("threads");
  if (threads < 1 || threads > 64) fields.fail("threads", "is not a number from 1 to 64");
  if (!fields.ok()) return info.Env().Undefined();
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  Settler<CopyCounts> settler(info.Env(), [cancelled] { *cancelled = true; });
  settle_apart<CopyCounts>(
      settler,
      [cancelled, from, to, threads] {
        return copy_tree(from, to, static_cast<unsigned>(threads), cancelled.get());
      },
      counts_to_js);
  return settler.promise();
}

Napi::Value copy_metadata_function(const Napi::CallbackInfo& info) {
  Fields fields(info[0], "options");
  const std::string from = fields.text("from");
  const std::string to = fields.text("to");
  if (!fields.ok()) return info.Env().Undefined();
  return run_apart<bool>(
      info.Env(),
      [from, to]() -> Result<bool> {
        OCIUNPACK_TRY(copy_directory_metadata(from, to));
        return true;
      },
      undefined);
}

Napi::Value disk_usage_function(const Napi::CallbackInfo& info) {
  Fields fields(info[0], "options");
  const std::string directory = fields.text("directory");
  const uint64_t threads = fields.number("threads");
  if (threads < 1 || threads > 64) fields.fail("threads", "is not a number from 1 to 64");
  if (!fields.ok()) return info.Env().Undefined();
  return run_apart<DiskUsage>(
      info.Env(),
      [directory, threads] { return disk_usage(directory, static_cast<unsigned>(threads)); },
      [](Napi::Env env, DiskUsage& usage) -> Napi::Value {
        auto object = Napi::Object::New(env);
        object.Set("bytes", static_cast<double>(usage.bytes));
        object.Set("inodes", static_cast<double>(usage.inodes));
        return object;
      });
}

Napi::Value sync_function(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsNumber()) {
    Napi::TypeError::New(env, "fd: is not a number").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  // A duplicate shares the open file, which is what remembers the failed writes that were told.
  auto fd = std::make_shared<UniqueFd>(
      ::fcntl(info[0].As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 0));
  if (!fd->valid()) return throw_error(env, system_error(errno, "fcntl", "", "F_DUPFD"));
  return run_apart<bool>(
      env,
      [fd]() -> Result<bool> {
        OCIUNPACK_TRY(sync_file_system(fd->get()));
        return true;
      },
      undefined);
}

// On the caller's thread: a database transaction is open around it.
Napi::Value exchange_function(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString() || !info[1].IsString()) {
    Napi::TypeError::New(env, "paths: are not two strings").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const Status status = exchange_paths(info[0].As<Napi::String>().Utf8Value(),
                                       info[1].As<Napi::String>().Utf8Value());
  return status.ok() ? env.Undefined() : throw_error(env, status.error());
}

}  // namespace

void add_tree_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("copyTree", Napi::Function::New(env, copy_tree_function, "copyTree"));
  exports.Set("copyDirectoryMetadata",
              Napi::Function::New(env, copy_metadata_function, "copyDirectoryMetadata"));
  exports.Set("diskUsage", Napi::Function::New(env, disk_usage_function, "diskUsage"));
  exports.Set("exchangePaths", Napi::Function::New(env, exchange_function, "exchangePaths"));
  exports.Set("syncFileSystem", Napi::Function::New(env, sync_function, "syncFileSystem"));
}

}  // namespace ociunpack::addon
