#include "addon/text_functions.h"

#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "addon/args.h"
#include "text/table.h"

namespace ociunpack::addon {
namespace {

// Eight bytes at a time: a list has a megabyte of them.
bool is_ascii(std::string_view text) {
  uint64_t bits = 0;
  size_t at = 0;
  for (uint64_t word; at + sizeof word <= text.size(); at += sizeof word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    bits |= word;
  }
  for (; at < text.size(); ++at) bits |= static_cast<unsigned char>(text[at]);
  return (bits & 0x8080808080808080) == 0;
}

Napi::Value draw(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Fields fields(info[0], "table");
  const Napi::Value given = fields.value("columns");
  const uint64_t width = fields.number("width");
  if (!given.IsArray()) fields.fail("columns", "is not an array");
  if (!fields.ok()) return env.Undefined();
  const auto list = given.As<Napi::Array>();
  std::deque<std::string> texts;  // which the columns see
  std::vector<TableColumn> columns;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    Fields column(list.Get(i), "column");
    texts.push_back(column.text("cells"));
    const bool align_right = column.boolean("alignRight");
    columns.push_back({texts.back(), align_right, column.optional_number("most").value_or(0)});
    if (!column.ok()) return env.Undefined();
  }
  return text_of(env, draw_table(columns, width));
}

}  // namespace

// As Latin-1 where that is the same: V8 copies it, and does not decode it.
Napi::Value text_of(Napi::Env env, std::string_view text) {
  if (!is_ascii(text)) return Napi::String::New(env, text.data(), text.size());
  napi_value value = nullptr;
  napi_create_string_latin1(env, text.data(), text.size(), &value);
  return Napi::Value(env, value);
}

void add_text_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("drawTable", Napi::Function::New(env, draw, "drawTable"));
}

}  // namespace ociunpack::addon
