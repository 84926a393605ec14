// Promises that work on other threads settles.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "addon/environment.h"
#include "addon/errors.h"
#include "base/result.h"

namespace ociunpack::addon {

// A promise, and the one who settles it. Copyable; JavaScript's side is touched on its thread only.
template <typename T>
class Settler {
 public:
  Settler(Napi::Env env, std::function<void()> cancel)
      : environment_(Environment::of(env)),
        deferred_(std::make_shared<Napi::Promise::Deferred>(env)),
        work_(environment_->begin(env, std::move(cancel))) {}

  Napi::Promise promise() const { return deferred_->Promise(); }

  // Any thread, once. `convert` makes the value, on the JavaScript thread.
  void settle(Result<T> result, std::function<Napi::Value(Napi::Env, T&)> convert) {
    auto kept = std::make_shared<Result<T>>(std::move(result));
    environment_->finish(work_,
                         [deferred = deferred_, kept, convert = std::move(convert)](Napi::Env env) {
                           if (kept->ok()) {
                             deferred->Resolve(convert(env, kept->value()));
                           } else {
                             deferred->Reject(to_js_error(env, kept->error()).Value());
                           }
                         });
  }

 private:
  std::shared_ptr<Environment> environment_;
  std::shared_ptr<Napi::Promise::Deferred> deferred_;
  std::shared_ptr<Environment::Work> work_;
};

// Runs `work` (which may block) on a thread of its own, and settles with what it returns; with an
// error where no thread can be had: an exception must not reach the engine's frames.
template <typename T>
void settle_apart(Settler<T> settler, std::function<Result<T>()> work,
                  std::function<Napi::Value(Napi::Env, T&)> convert) {
  try {
    std::thread([settler, work = std::move(work), convert]() mutable {
      settler.settle(work(), std::move(convert));
    }).detach();
  } catch (const std::system_error& error) {
    settler.settle(system_error(error.code().value(), "pthread_create", {}), std::move(convert));
  }
}

// The same with a promise that nobody cancels.
template <typename T>
Napi::Promise run_apart(Napi::Env env, std::function<Result<T>()> work,
                        std::function<Napi::Value(Napi::Env, T&)> convert) {
  Settler<T> settler(env, [] {});
  settle_apart<T>(settler, std::move(work), std::move(convert));
  return settler.promise();
}

}  // namespace ociunpack::addon
