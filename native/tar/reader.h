// TarReader: bytes of a tar in, entries and views of their data out. A push parser: it never blocks
// and keeps no reference to the input. Fast because a header that lies whole in the input is parsed
// there, bodies are handed out as views, and an ordinary entry allocates nothing. What it accepts,
// and where readers differ, is said in reader.cc and reader_entry.cc.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "tar/entry.h"
#include "tar/header.h"
#include "tar/pax.h"
#include "tar/sparse.h"

namespace ociunpack {

class TarReader {
 public:
  struct Event {
    enum Kind : uint8_t {
      kNeedMore,  // the input is used up
      kEntry,     // `entry`: comes before the entry's data
      kData,      // `data`, `size`, `offset`: a piece of the current entry's body
      kEntryEnd,  // after the entry's last data, also when it has none
      kEnd,       // the two zero blocks were read; comes at most once
    };
    Kind kind = kNeedMore;
    const Entry* entry = nullptr;   // valid until the next kEntry
    const uint8_t* data = nullptr;  // a view into the input
    size_t size = 0;
    uint64_t offset = 0;  // of `data` in the body as packed (sparse: without the holes)
  };

  explicit TarReader(const Limits& limits) : limits_(limits) {}
  TarReader(const TarReader&) = delete;  // views point into it
  TarReader& operator=(const TarReader&) = delete;

  // Consumes from *input (advancing it) until there is an event. After kEnd everything is consumed
  // silently. After an error, returns that error again. One thread at a time.
  Result<Event> next(std::span<const uint8_t>* input);

  // Call at the end of the stream: ok, ERR_TRUNCATED inside of a header, body or padding, or
  // ERR_INVALID_TAR when headers that belong to an entry were followed by none.
  Status finish();

  // Bytes consumed so far.
  uint64_t position() const { return position_; }

  // Entries begun so far.
  uint64_t entries() const { return entries_; }

 private:
  enum class State : uint8_t {
    kHeader,
    kMetaBody,      // the body of an x, g, L or K header, into meta_target_
    kSparseBlocks,  // old GNU extension blocks
    kSparseText,    // the map in front of a GNU.sparse 1.0 body
    kEntryReady,    // entry_ is complete
    kBody,          // body_left_ bytes of data, then kEntryEnd
    kSkip,          // skip_left_ bytes of padding, then the next header
    kDoubtfulBody,  // the next block is a header, or the first of a hard link's body
    kZeroBlock,     // one zero block was read
    kEnd,           // two were
    kFailed,
  };
  enum class Meta : uint8_t { kPax, kGlobal, kLongName, kLongLink };

  const uint8_t* take_block(std::span<const uint8_t>* input);
  void consume(std::span<const uint8_t>* input, size_t size);
  Status step(std::span<const uint8_t>* input);
  Status read_header(const uint8_t* block);
  Status begin_meta(const uint8_t* block, Meta meta);
  Status end_meta();
  Status take_long_name(std::vector<char>* bytes, std::optional<std::string_view>* name);
  Status begin_entry(const uint8_t* block, EntryType type, char type_flag);
  Status apply_names(const uint8_t* block, EntryType* type, char type_flag);
  Status apply_metadata(const uint8_t* block);
  Status apply_size(const uint8_t* block, char type_flag);
  Status begin_pax_sparse();
  Status begin_old_gnu_sparse(const uint8_t* block);
  Status read_sparse_block(const uint8_t* block);
  Status finish_sparse_map();
  Status skip_doubtful_body(std::span<const uint8_t>* input);
  Status header_number(const uint8_t* block, HeaderField field, const char* name, uint64_t max,
                       uint64_t* number);
  Status check_path_limit(std::string_view path, const char* what);
  static Error fail(Code code, std::string detail);
  static Error over_limit(const char* limit, const char* what, uint64_t actual, uint64_t maximum,
                          const char* unit);
  bool has_pending_meta() const { return has_pax_ || long_name_ || long_link_; }

  const Limits limits_;
  State state_ = State::kHeader;
  uint64_t position_ = 0;
  uint64_t header_position_ = 0;  // of the last header
  uint64_t entries_ = 0;
  std::optional<Error> failure_;

  // A block split over two inputs is gathered here.
  std::array<uint8_t, kBlockBytes> block_;
  size_t block_used_ = 0;

  // The entry, and the bytes its views point to.
  Entry entry_;
  std::array<char, kPrefixField.size + 1 + kNameField.size> name_buffer_;
  std::array<char, kLinkField.size> link_buffer_;
  uint64_t body_left_ = 0;
  uint64_t body_offset_ = 0;
  uint64_t skip_left_ = 0;
  uint64_t padding_ = 0;  // to skip after the entry's body

  // Headers that belong to the next entry.
  Meta meta_ = Meta::kPax;
  uint64_t meta_left_ = 0;
  uint64_t meta_padding_ = 0;
  std::vector<char> pax_bytes_, global_bytes_, long_name_bytes_, long_link_bytes_;
  std::vector<char>* meta_target_ = nullptr;
  std::optional<std::string_view> long_name_, long_link_;
  PaxFields pax_;
  PaxGlobals globals_;
  bool has_pax_ = false;
  bool pax_archive_ = false;  // an x or g header was seen

  SparseTextMap sparse_text_;
  uint64_t doubtful_left_ = 0;
  bool doubtful_zero_ = true;  // all of it so far
  bool doubtful_started_ = false;
};

}  // namespace ociunpack
