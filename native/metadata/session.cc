#include "metadata/session.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "metadata/json_array.h"

namespace ociunpack {
namespace {

// Bytes of a page from which on it ends: large enough that calls cost nothing, small beside the
// heap.
constexpr size_t kPageBytes = 256 << 10;
// Of columns, of which nothing is made but their texts: most lists have one page.
constexpr size_t kColumnsBytes = 16 << 20;

MDB_val value_of(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }

std::string_view bytes_of(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

// RFC 8259, 7. Keys are UTF-8.
void append_json_string(std::string& text, std::string_view bytes) {
  text += '"';
  size_t plain = 0;  // from here on nothing is escaped: appended at once
  for (size_t at = 0; at < bytes.size(); ++at) {
    const auto byte = static_cast<unsigned char>(bytes[at]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
    text.append(bytes, plain, at - plain).append(escaped);
    plain = at + 1;
  }
  text.append(bytes, plain).append(1, '"');
}

// What a column shows of an element; nothing of one that a line cannot show.
std::optional<std::string_view> shown(std::string_view element) {
  if (element.empty()) return std::nullopt;
  const char first = element.front();
  if (first == '-' || (first >= '0' && first <= '9')) return element;
  const bool is_string = element.size() >= 2 && first == '"' && element.back() == '"';
  const auto has = [element](char byte) { return element.find(byte) != std::string_view::npos; };
  if (!is_string || has('\\') || has('\n')) return std::nullopt;
  return element.substr(1, element.size() - 2);
}

}  // namespace

MetadataSession::MetadataSession(std::shared_ptr<MetadataEnvironment> environment)
    : environment_(std::move(environment)) {}

MetadataSession::~MetadataSession() {
  abort();
  if (read_ != nullptr) mdb_txn_abort(read_);
}

Status MetadataSession::begin_read() {
  const bool is_new = read_ == nullptr;
  const auto begin = [&] {
    return is_new ? mdb_txn_begin(environment_->handle(), nullptr, MDB_RDONLY, &read_)
                  : mdb_txn_renew(read_);
  };
  int code = begin();
  if (code == MDB_READERS_FULL) {
    int dead = 0;  // slots of readers that were killed
    if (mdb_reader_check(environment_->handle(), &dead) == 0 && dead > 0) code = begin();
  }
  if (code != 0) return environment_->error(code, is_new ? "mdb_txn_begin" : "mdb_txn_renew");
  reading_ = true;
  return {};
}

void MetadataSession::end_read() {
  if (reading_) mdb_txn_reset(read_);
  reading_ = false;
}

Status MetadataSession::begin_write() {
  if (write_ != nullptr) {
    return input_error(Code::ERR_INTERNAL, "mdb_txn_begin", environment_->directory(),
                       "is in a write transaction already");
  }
  const int code = mdb_txn_begin(environment_->handle(), nullptr, 0, &write_);
  if (code == 0) return {};
  write_ = nullptr;
  return environment_->error(code, "mdb_txn_begin");
}

Status MetadataSession::commit() {
  OCIUNPACK_TRY(need(write_));
  // Frees it whatever happens.
  const int code = mdb_txn_commit(std::exchange(write_, nullptr));
  if (code == 0) return {};
  Error error = environment_->error(code, "mdb_txn_commit");
  environment_->remember(error);
  return error;
}

void MetadataSession::abort() {
  if (write_ != nullptr) mdb_txn_abort(std::exchange(write_, nullptr));
}

Status MetadataSession::need(MDB_txn* transaction) const {
  if (transaction != nullptr) return {};
  return input_error(Code::ERR_INVALID_ARGUMENT, "metadata", environment_->directory(),
                     "is used outside of a transaction");
}

Result<std::optional<std::string_view>> MetadataSession::get(std::string_view key) {
  OCIUNPACK_TRY(need(current()));
  MDB_val wanted = value_of(key);
  MDB_val value;
  const int code = mdb_get(current(), environment_->database(), &wanted, &value);
  if (code == MDB_NOTFOUND) return std::optional<std::string_view>();
  if (code != 0) return environment_->error(code, "mdb_get");
  return std::optional(bytes_of(value));
}

Status MetadataSession::put(std::string_view key, std::string_view value) {
  OCIUNPACK_TRY(need(write_));
  MDB_val wanted = value_of(key);
  MDB_val written = value_of(value);
  const int code = mdb_put(write_, environment_->database(), &wanted, &written, 0);
  if (code != 0) return environment_->error(code, "mdb_put");
  return {};
}

Status MetadataSession::remove(std::string_view key) {
  OCIUNPACK_TRY(need(write_));
  MDB_val wanted = value_of(key);
  const int code = mdb_del(write_, environment_->database(), &wanted, nullptr);
  if (code != 0 && code != MDB_NOTFOUND) return environment_->error(code, "mdb_del");
  return {};
}

// Calls `visit` for each entry in order until it returns false.
template <typename Visit>
Status MetadataSession::walk(std::string_view prefix, std::string_view after, Visit visit) {
  OCIUNPACK_TRY(need(current()));
  MDB_cursor* cursor = nullptr;
  if (const int code = mdb_cursor_open(current(), environment_->database(), &cursor)) {
    return environment_->error(code, "mdb_cursor_open");
  }
  const std::string first = std::string(prefix).append(after);
  MDB_val key = value_of(first);
  MDB_val value;
  int code = mdb_cursor_get(cursor, &key, &value, first.empty() ? MDB_FIRST : MDB_SET_RANGE);
  if (code == 0 && !after.empty() && bytes_of(key) == first) {
    code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  }
  while (code == 0 && bytes_of(key).starts_with(prefix)) {
    if (!visit(bytes_of(key).substr(prefix.size()), bytes_of(value))) break;
    code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  }
  mdb_cursor_close(cursor);
  if (code != 0 && code != MDB_NOTFOUND) return environment_->error(code, "mdb_cursor_get");
  return {};
}

Result<std::string_view> MetadataSession::page(const Range& range) {
  page_ = "{\"entries\":[";
  size_t count = 0;
  bool more = false;
  OCIUNPACK_TRY(walk(range.prefix, range.after, [&](std::string_view rest, std::string_view value) {
    if (page_.size() >= kPageBytes) {
      more = true;
      return false;
    }
    page_ += count++ > 0 ? ",[" : "[";
    append_json_string(page_, rest);
    page_.append(1, ',').append(value).append(1, ']');
    return count != range.limit;
  }));
  page_ += more ? "],\"more\":true}" : "],\"more\":false}";
  return std::string_view(page_);
}

Result<MetadataSession::Columns> MetadataSession::columns(const Range& range,
                                                          const std::vector<uint32_t>& fields) {
  Columns page;
  page.fields.resize(fields.size());
  size_t bytes = 0;
  Status read;
  OCIUNPACK_TRY(walk(range.prefix, range.after, [&](std::string_view rest, std::string_view value) {
    if (bytes >= kColumnsBytes) {
      page.more = true;
      return false;
    }
    const std::string_view end = page.count > 0 ? "\n" : "";
    page.keys.append(end).append(rest);
    bytes += rest.size();
    JsonElements elements(value);
    uint32_t next = 0;
    for (size_t i = 0; i < fields.size(); ++i) {
      std::string_view element;
      for (; next <= fields[i]; ++next) element = elements.next();
      const auto line = shown(element);
      if (!line) {
        read = input_error(Code::ERR_STORE_CORRUPT, "columns", environment_->directory(),
                           "what is stored at " + std::string(rest) + " is damaged");
        return false;
      }
      page.fields[i].append(end).append(*line);
      bytes += line->size();
    }
    return ++page.count != range.limit;
  }));
  OCIUNPACK_TRY(std::move(read));
  return page;
}

Result<size_t> MetadataSession::count(std::string_view prefix) {
  size_t count = 0;
  OCIUNPACK_TRY(walk(prefix, {}, [&](std::string_view, std::string_view) {
    ++count;
    return true;
  }));
  return count;
}

}  // namespace ociunpack
