// MetadataSession: one reader and writer of a MetadataEnvironment, with the transaction that it is
// in. Keys are bytes, in their order; values are JSON. For one thread at a time, and a write
// transaction ends in the thread that has begun it, since LMDB's lock on writing belongs to the
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/environment.h"

namespace ociunpack {

class MetadataSession {
 public:
  explicit MetadataSession(std::shared_ptr<MetadataEnvironment> environment);
  ~MetadataSession();
  MetadataSession(const MetadataSession&) = delete;
  MetadataSession& operator=(const MetadataSession&) = delete;

  // From here to end_read() everything is read from one state.
  Status begin_read();
  void end_read();

  // Waits for the writers of other threads and processes. From here on reads see what was written.
  Status begin_write();
  // Waits for the disk, where the environment does. After an error nothing of it is there.
  Status commit();
  void abort();

  // Reading needs a transaction, writing one that writes. What get() returns is valid until the
  // next write, or the end of the transaction.
  Result<std::optional<std::string_view>> get(std::string_view key);
  Status put(std::string_view key, std::string_view value);
  Status remove(std::string_view key);  // of nothing too

  struct Range {
    std::string_view prefix;
    std::string_view after;  // the rest of a key, without the prefix: begins behind it
    size_t limit = 0;        // entries; 0: no limit
  };
  // A part of the entries whose keys begin with the prefix, as JSON: `{"entries":[["rest of
  // key",value]],"more":true}`. `more`: what follows has to be asked for. One text, since thousands
  // of small strings take JavaScript longer to make than to parse. Valid until the next call.
  Result<std::string_view> page(const Range& range);

  // The same by columns: of the keys the rests, and of each value, which is an array, the elements
  // at `fields`, which ascend: numbers as they are written, strings without their quotes. As texts
  // again, of a line for each entry. ERR_STORE_CORRUPT for a value without such an element, and for
  // what is no number and no string without escapes.
  struct Columns {
    std::string keys;  // keys have no line feeds
    std::vector<std::string> fields;
    size_t count = 0;
    bool more = false;
  };
  Result<Columns> columns(const Range& range, const std::vector<uint32_t>& fields);
  Result<size_t> count(std::string_view prefix);

 private:
  MDB_txn* current() const { return write_ != nullptr ? write_ : reading_ ? read_ : nullptr; }
  Status need(MDB_txn* transaction) const;
  template <typename Visit>
  Status walk(std::string_view prefix, std::string_view after, Visit visit);

  std::shared_ptr<MetadataEnvironment> environment_;
  MDB_txn* read_ = nullptr;  // kept from one reading to the next, with its slot among the readers
  bool reading_ = false;
  MDB_txn* write_ = nullptr;
  std::string page_;  // its memory is used again
};

}  // namespace ociunpack
