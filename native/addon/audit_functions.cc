#include "addon/audit_functions.h"

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "addon/args.h"
#include "addon/layer_arguments.h"
#include "addon/objects.h"
#include "addon/promise.h"
#include "audit/audit_tree.h"
#include "tree/list_merged.h"

namespace ociunpack::addon {
namespace {

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - at);
    uint32_t word = 0;
    for (size_t i = 0; i < 3; ++i) {
      word = (word << 8) | (i < count ? static_cast<uint8_t>(bytes[at + i]) : 0);
    }
    for (size_t i = 0; i < 4; ++i) {
      text += i <= count ? kDigits[(word >> (18 - 6 * i)) & 63] : '=';
    }
  }
  return text;
}

Napi::Array texts_to_js(Napi::Env env, const std::vector<std::string>& texts) {
  auto array = Napi::Array::New(env, texts.size());
  for (uint32_t i = 0; i < texts.size(); ++i) array.Set(i, to_js_text(env, texts[i]));
  return array;
}

Napi::Value facts_to_js(Napi::Env env, const std::optional<EntryFacts>& facts) {
  if (!facts) return env.Null();
  static constexpr std::array kTypes = {"directory", "file", "symlink", "char",
                                        "block",     "fifo", "socket",  "whiteout"};
  auto object = Napi::Object::New(env);
  object.Set("type", kTypes[static_cast<size_t>(facts->type)]);
  object.Set("mode", facts->mode);
  object.Set("uid", facts->uid);
  object.Set("gid", facts->gid);
  object.Set("mtimeSeconds", static_cast<double>(facts->mtime.seconds));
  object.Set("mtimeNanoseconds", facts->mtime.nanoseconds);
  object.Set("size", static_cast<double>(facts->size));
  if (facts->type == FactType::kSymlink) object.Set("target", to_js_text(env, facts->target));
  if (facts->type == FactType::kCharDevice || facts->type == FactType::kBlockDevice) {
    object.Set("device", std::to_string(facts->dev_major) + ":" + std::to_string(facts->dev_minor));
  }
  auto xattrs = Napi::Object::New(env);
  for (const auto& [name, value] : facts->xattrs) {
    xattrs.Set(to_js_text(env, name), base64(value));
  }
  object.Set("xattrs", xattrs);
  if (facts->crc32c) {
    char hex[9];
    std::snprintf(hex, sizeof hex, "%08x", *facts->crc32c);
    object.Set("crc32c", hex);
  }
  if (facts->implicit) object.Set("implicit", true);
  if (facts->copied_up) object.Set("copiedUp", true);
  if (facts->opaque) object.Set("opaque", true);
  if (!facts->links.empty()) object.Set("links", texts_to_js(env, facts->links));
  if (facts->error != 0) object.Set("error", errno_name(facts->error));
  return object;
}

Napi::Value result_to_js(Napi::Env env, AuditResult& result) {
  auto object = Napi::Object::New(env);
  object.Set("entries", static_cast<double>(result.entries));
  object.Set("files", static_cast<double>(result.files));
  object.Set("bytes", static_cast<double>(result.bytes));
  object.Set("unchecked", static_cast<double>(result.unchecked));
  auto differences = Napi::Array::New(env, result.differences.size());
  for (uint32_t i = 0; i < result.differences.size(); ++i) {
    const Napi::HandleScope scope(env);
    const Difference& difference = result.differences[i];
    auto item = Napi::Object::New(env);
    item.Set("path", to_js_text(env, difference.path));
    item.Set("expected", facts_to_js(env, difference.expected));
    item.Set("found", facts_to_js(env, difference.found));
    item.Set("fields", texts_to_js(env, difference.fields));
    differences.Set(i, item);
  }
  object.Set("differences", differences);
  object.Set("moreDifferences", static_cast<double>(result.more_differences));
  return object;
}

Napi::Value audit_function(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Fields fields(info[0], "options");
  AuditOptions options;
  options.directory = fields.text("directory");
  options.format = read_format(fields);
  options.content = fields.boolean("content");
  const uint64_t threads = fields.number("threads");
  if (threads < 1 || threads > 64) fields.fail("threads", "is not a number from 1 to 64");
  options.threads = static_cast<unsigned>(threads);
  options.most_differences = fields.number("mostDifferences");
  if (fields.has("policies")) {
    LayerOptions layer;
    read_policies(fields.object("policies"), &layer);
    options.policies = std::move(layer.policies);
  }
  if (fields.ok()) {
    options.tree = unwrap_tree(fields.value("tree"));
    if (fields.ok() && !options.tree) fields.fail("tree", "is not a LayerTree");
  }
  if (!fields.ok()) return env.Undefined();

  auto control = std::make_shared<AuditControl>();
  Settler<AuditResult> settler(env, [control] { control->cancelled = true; });
  settle_apart<AuditResult>(
      settler,
      [control, options = std::move(options)] { return audit_tree(options, control.get()); },
      result_to_js);

  auto job = Napi::Object::New(env);
  job.Set("done", settler.promise());
  job.Set("progress", Napi::Function::New(
                          env,
                          [control](const Napi::CallbackInfo& call) -> Napi::Value {
                            auto sample = Napi::Object::New(call.Env());
                            sample.Set("entries", static_cast<double>(control->entries.load()));
                            sample.Set("bytes", static_cast<double>(control->bytes.load()));
                            return sample;
                          },
                          "progress"));
  job.Set("cancel", Napi::Function::New(
                        env,
                        [control](const Napi::CallbackInfo& call) -> Napi::Value {
                          control->cancelled = true;
                          return call.Env().Undefined();
                        },
                        "cancel"));
  return job;
}

Napi::Value list_merged_function(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto tree = unwrap_tree(info[0]);
  if (env.IsExceptionPending()) return env.Undefined();
  const double most = info[2].IsNumber() ? info[2].As<Napi::Number>().DoubleValue() : -1;
  if (!info[1].IsString() || !(most >= 0 && most <= UINT32_MAX)) {
    Napi::TypeError::New(env, "listMerged wants a tree, a path and how many")
        .ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const MergedList list =
      list_merged(tree.get(), info[1].As<Napi::String>().Utf8Value(), static_cast<size_t>(most));
  auto object = Napi::Object::New(env);
  object.Set("paths", texts_to_js(env, list.paths));
  object.Set("total", static_cast<double>(list.total));
  return object;
}

}  // namespace

void add_audit_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("auditTree", Napi::Function::New(env, audit_function, "auditTree"));
  exports.Set("listMerged", Napi::Function::New(env, list_merged_function, "listMerged"));
}

}  // namespace ociunpack::addon
