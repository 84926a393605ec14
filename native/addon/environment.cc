#include "addon/environment.h"

#include <utility>
#include <vector>

#include "pipeline/scheduler.h"

namespace ociunpack::addon {
namespace {

struct Holder {
  std::shared_ptr<Environment> environment;
};

}  // namespace

void Environment::init(Napi::Env env) {
  auto environment = std::make_shared<Environment>();
  environment->function_ = Function::New(env, "oci-unpack", 0, 1);
  environment->function_.Unref(env);
  Scheduler::retain();
  env.SetInstanceData(new Holder{environment});
  env.AddCleanupHook([environment] { environment->close(); });
}

std::shared_ptr<Environment> Environment::of(Napi::Env env) {
  return env.GetInstanceData<Holder>()->environment;
}

std::shared_ptr<Environment::Work> Environment::begin(Napi::Env env, std::function<void()> cancel) {
  if (alive_++ == 0) function_.Ref(env);
  auto work = std::make_shared<Work>();
  work->cancel = std::move(cancel);
  const std::lock_guard lock(mutex_);
  running_.insert(work);
  return work;
}

void Environment::finish(const std::shared_ptr<Work>& work, std::function<void(Napi::Env)> settle) {
  post([self = shared_from_this(), settle = std::move(settle)](Napi::Env env) {
    self->settled(env);
    settle(env);
  });
  // Last: after this the environment may be gone.
  const std::lock_guard lock(mutex_);
  running_.erase(work);
  if (running_.empty()) idle_.notify_all();
}

void Environment::settled(Napi::Env env) {
  if (--alive_ == 0) function_.Unref(env);
}

void Environment::post(std::function<void(Napi::Env)> call) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  auto* owned = new Call(std::move(call));
  // Never full (no bound), so this does not block. napi_closing: the environment is ending.
  if (function_.NonBlockingCall(owned) != napi_ok) delete owned;
}

void Environment::on_call(Napi::Env env, Napi::Function, std::nullptr_t*, Call* call) {
  const std::unique_ptr<Call> owned(call);
  if (static_cast<napi_env>(env) == nullptr) return;  // ending: only free it
  const Napi::HandleScope scope(env);
  (*owned)(env);
}

void Environment::close() {
  std::vector<std::shared_ptr<Work>> running;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    running.assign(running_.begin(), running_.end());
  }
  for (const auto& work : running) work->cancel();
  running.clear();
  {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return running_.empty(); });
  }
  function_.Release();
  Scheduler::release();
}

}  // namespace ociunpack::addon
