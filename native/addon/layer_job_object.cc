#include "addon/layer_job_object.h"

#include <memory>
#include <utility>

#include "addon/args.h"
#include "addon/layer_arguments.h"
#include "addon/objects.h"
#include "addon/promise.h"
#include "pipeline/layer_job.h"

namespace ociunpack::addon {
namespace {

using JobRef = std::shared_ptr<LayerJob>;

Napi::Value settle(const Napi::CallbackInfo& info, const JobRef& job) {
  const Napi::Env env = info.Env();
  auto below = unwrap_tree(info[0]);
  SettleOptions options;
  if (!env.IsExceptionPending() && info[1].IsObject()) {
    Fields fields(info[1], "options");
    options.index_path = fields.optional_text("indexPath").value_or("");
    options.flat_root = fields.optional_text("flatRoot").value_or("");
  }
  if (env.IsExceptionPending()) return env.Undefined();
  Settler<SettleResult> settler(env, [job] { job->cancel(); });
  job->settle(std::move(below), std::move(options), [settler](Result<SettleResult> result) mutable {
    settler.settle(std::move(result),
                   [](Napi::Env at, SettleResult& value) { return to_js(at, value); });
  });
  return settler.promise();
}

Napi::Value progress(const Napi::CallbackInfo& info, const JobRef& job) {
  const LayerProgress sample = job->progress();
  auto object = Napi::Object::New(info.Env());
  object.Set("bytesIn", static_cast<double>(sample.bytes_in));
  object.Set("bytesOut", static_cast<double>(sample.bytes_out));
  object.Set("entries", static_cast<double>(sample.entries));
  return object;
}

Napi::Value write(const Napi::CallbackInfo& info, const JobRef& job) {
  const Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    Napi::TypeError::New(env, "chunk: is not a Uint8Array").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const auto chunk = info[0].As<Napi::Uint8Array>();
  // Copied: whoever gave the chunk may use its memory again.
  const bool more = job->push_source()->append({chunk.Data(), chunk.ByteLength()});
  return Napi::Boolean::New(env, more);
}

void on_drain(const Napi::CallbackInfo& info, const JobRef& job) {
  const Napi::Env env = info.Env();
  if (!info[0].IsFunction()) {
    Napi::TypeError::New(env, "callback: is not a function").ThrowAsJavaScriptException();
    return;
  }
  // The last copy may be dropped on a worker, but a reference is freed on its own thread; when the
  // environment has ended by then it goes with it.
  auto* callback = new Napi::FunctionReference(Napi::Persistent(info[0].As<Napi::Function>()));
  const std::shared_ptr<Napi::FunctionReference> kept(
      callback, [environment = Environment::of(env)](Napi::FunctionReference* held) {
        environment->post([held](Napi::Env) { delete held; });
      });
  job->push_source()->on_drained([kept, environment = Environment::of(env)] {
    environment->post([kept](Napi::Env) { kept->Call({}); });
  });
}

template <typename Method>
void add_method(Napi::Object object, const char* name, const JobRef& job, Method method) {
  object.Set(
      name, Napi::Function::New(
                object.Env(),
                [job, method](const Napi::CallbackInfo& info) { return method(info, job); }, name));
}

void add_stream_methods(Napi::Object object, const JobRef& job) {
  add_method(object, "write", job, write);
  add_method(object, "onDrain", job, on_drain);
  add_method(object, "end", job,
             [](const Napi::CallbackInfo&, const JobRef& held) { held->push_source()->end(); });
  add_method(object, "fail", job, [](const Napi::CallbackInfo& info, const JobRef& held) {
    held->push_source()->fail(
        input_error(Code::ERR_IO, "source", "", info[0].ToString().Utf8Value()));
  });
}

}  // namespace

Napi::Value start_layer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto options = read_layer_options(info[0]);
  if (!options) return env.Undefined();

  // The job exists only after start(); the canceller must be there before.
  auto started = std::make_shared<std::weak_ptr<LayerJob>>();
  Settler<LayerResult> done(env, [started] {
    if (const JobRef job = started->lock()) job->cancel();
  });
  const JobRef job =
      LayerJob::start(*std::move(options), [done](Result<LayerResult> result) mutable {
        done.settle(std::move(result),
                    [](Napi::Env at, LayerResult& value) { return to_js(at, value); });
      });
  *started = job;

  auto object = Napi::Object::New(env);
  object.Set("done", done.promise());
  add_method(object, "settle", job, settle);
  add_method(object, "progress", job, progress);
  add_method(object, "cancel", job,
             [](const Napi::CallbackInfo&, const JobRef& held) { held->cancel(); });
  add_method(object, "close", job,
             [](const Napi::CallbackInfo&, const JobRef& held) { held->close(); });
  if (job->push_source() != nullptr) add_stream_methods(object, job);
  return object;
}

}  // namespace ociunpack::addon
