#include "addon/metadata_functions.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "addon/args.h"
#include "addon/errors.h"
#include "addon/objects.h"
#include "addon/text_functions.h"
#include "metadata/environment.h"
#include "metadata/session.h"

namespace ociunpack::addon {
namespace {

Napi::Value done(Napi::Env env, const Status& status) {
  return status.ok() ? env.Undefined() : throw_error(env, status.error());
}

Napi::Value open_metadata(const Napi::CallbackInfo& info) {
  Fields fields(info[0], "options");
  const std::string directory = fields.text("directory");
  MetadataOptions options;
  options.read_only = fields.boolean("readOnly");
  options.sync = fields.boolean("sync");
  options.max_readers = static_cast<unsigned>(fields.number("maxReaders"));
  if (!fields.ok()) return info.Env().Undefined();
  auto environment = MetadataEnvironment::open(directory, options);
  if (!environment.ok()) return throw_error(info.Env(), environment.error());
  return wrap_session(info.Env(),
                      std::make_shared<MetadataSession>(std::move(environment).value()));
}

Napi::Value close_metadata(const Napi::CallbackInfo& info) {
  close_session(info[0]);
  return info.Env().Undefined();
}

// The session of a call, and its text arguments after it. ok() is false with an exception pending.
class Call {
 public:
  explicit Call(const Napi::CallbackInfo& info) : info_(info), session_(unwrap_session(info[0])) {}

  bool ok() const { return session_ != nullptr && !info_.Env().IsExceptionPending(); }
  MetadataSession& session() { return *session_; }
  std::string text(size_t at) {
    if (info_[at].IsString()) return info_[at].As<Napi::String>().Utf8Value();
    if (!info_.Env().IsExceptionPending()) {
      Napi::TypeError::New(info_.Env(), "argument " + std::to_string(at + 1) + ": is not a string")
          .ThrowAsJavaScriptException();
    }
    return {};
  }

 private:
  const Napi::CallbackInfo& info_;
  std::shared_ptr<MetadataSession> session_;
};

template <Status (MetadataSession::*step)()>
Napi::Value fallible(const Napi::CallbackInfo& info) {
  Call call(info);
  if (!call.ok()) return info.Env().Undefined();
  return done(info.Env(), (call.session().*step)());
}

template <void (MetadataSession::*step)()>
Napi::Value infallible(const Napi::CallbackInfo& info) {
  Call call(info);
  if (call.ok()) (call.session().*step)();
  return info.Env().Undefined();
}

Napi::Value get(const Napi::CallbackInfo& info) {
  Call call(info);
  const std::string key = call.text(1);
  if (!call.ok()) return info.Env().Undefined();
  const auto value = call.session().get(key);
  if (!value.ok()) return throw_error(info.Env(), value.error());
  return value.value() ? text_of(info.Env(), *value.value()) : info.Env().Undefined();
}

Napi::Value put(const Napi::CallbackInfo& info) {
  Call call(info);
  const std::string key = call.text(1);
  const std::string value = call.text(2);
  if (!call.ok()) return info.Env().Undefined();
  return done(info.Env(), call.session().put(key, value));
}

Napi::Value remove(const Napi::CallbackInfo& info) {
  Call call(info);
  const std::string key = call.text(1);
  if (!call.ok()) return info.Env().Undefined();
  return done(info.Env(), call.session().remove(key));
}

std::vector<uint32_t> numbers_of(Napi::Value value) {
  std::vector<uint32_t> numbers;
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    numbers.push_back(array.Get(i).ToNumber().Uint32Value());
  }
  return numbers;
}

// The arguments of what reads ranges.
struct RangeArguments {
  explicit RangeArguments(const Napi::CallbackInfo& info) : fields(info[1], "range") {
    prefix = fields.text("prefix");
    after = fields.text("after");
    limit = fields.number("limit");
  }
  MetadataSession::Range range() const { return {prefix, after, limit}; }

  Fields fields;
  std::string prefix;
  std::string after;
  uint64_t limit = 0;
};

Napi::Value page(const Napi::CallbackInfo& info) {
  Call call(info);
  const RangeArguments given(info);
  if (!call.ok()) return info.Env().Undefined();
  const auto text = call.session().page(given.range());
  if (!text.ok()) return throw_error(info.Env(), text.error());
  return text_of(info.Env(), text.value());
}

Napi::Value columns(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Call call(info);
  RangeArguments given(info);
  const Napi::Value wanted = given.fields.value("columns");
  if (!wanted.IsArray()) given.fields.fail("columns", "is not an array");
  if (!call.ok()) return env.Undefined();
  const auto page = call.session().columns(given.range(), numbers_of(wanted));
  if (!page.ok()) return throw_error(env, page.error());
  const MetadataSession::Columns& found = page.value();
  auto object = Napi::Object::New(env);
  object.Set("keys", text_of(env, found.keys));
  auto columns = Napi::Array::New(env, found.fields.size());
  for (uint32_t i = 0; i < found.fields.size(); ++i) columns.Set(i, text_of(env, found.fields[i]));
  object.Set("columns", columns);
  object.Set("count", static_cast<double>(found.count));
  object.Set("more", found.more);
  return object;
}

Napi::Value count(const Napi::CallbackInfo& info) {
  Call call(info);
  const std::string prefix = call.text(1);
  if (!call.ok()) return info.Env().Undefined();
  const auto counted = call.session().count(prefix);
  if (!counted.ok()) return throw_error(info.Env(), counted.error());
  return Napi::Number::New(info.Env(), static_cast<double>(counted.value()));
}

}  // namespace

void add_metadata_functions(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("openMetadata", open_metadata);
  add("closeMetadata", close_metadata);
  add("beginRead", fallible<&MetadataSession::begin_read>);
  add("endRead", infallible<&MetadataSession::end_read>);
  add("beginWrite", fallible<&MetadataSession::begin_write>);
  add("commitWrite", fallible<&MetadataSession::commit>);
  add("abortWrite", infallible<&MetadataSession::abort>);
  add("getValue", get);
  add("putValue", put);
  add("removeValue", remove);
  add("readPage", page);
  add("readColumns", columns);
  add("countKeys", count);
}

}  // namespace ociunpack::addon
