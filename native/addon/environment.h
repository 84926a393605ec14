// Environment: what the addon keeps for one Node environment (the main thread, or a worker thread):
// the way back to its JavaScript thread, and the jobs that still run for it. When the environment
// ends (worker.terminate(), the end of the process) its jobs are cancelled and waited for.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>

namespace ociunpack::addon {

class Environment : public std::enable_shared_from_this<Environment> {
 public:
  // Of the calling JavaScript thread's environment; init() has made it.
  static std::shared_ptr<Environment> of(Napi::Env env);
  static void init(Napi::Env env);

  // Something that runs on other threads and ends by calling finish(). `cancel` makes it end soon.
  class Work {
   public:
    std::function<void()> cancel;
  };
  // JavaScript thread. Keeps Node's event loop alive until the work is finished.
  std::shared_ptr<Work> begin(Napi::Env env, std::function<void()> cancel);

  // Any thread, once for each begin(): `settle` is then called on the JavaScript thread, unless the
  // environment has ended.
  void finish(const std::shared_ptr<Work>& work, std::function<void(Napi::Env)> settle);

  // Any thread: `call` is called on the JavaScript thread, unless the environment has ended.
  void post(std::function<void(Napi::Env)> call);

 private:
  using Call = std::function<void(Napi::Env)>;
  static void on_call(Napi::Env env, Napi::Function, std::nullptr_t*, Call* call);
  using Function = Napi::TypedThreadSafeFunction<std::nullptr_t, Call, on_call>;

  void settled(Napi::Env env);
  void close();

  Function function_;
  std::mutex mutex_;
  std::condition_variable idle_;
  bool closed_ = false;
  std::set<std::shared_ptr<Work>> running_;
  size_t alive_ = 0;  // JavaScript thread: works whose settle has not been called
};

}  // namespace ociunpack::addon
