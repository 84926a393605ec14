// The states of the tar reader; see reader.h. What an entry's header means is in reader_entry.cc.
//
// Refused, and not skipped: unknown types, among them the vendors' 'A' 'D' 'I' 'M' 'N' 'V' 'X'; and
// two pax headers before one entry (readers take the first, the last, or both).
// The end: two zero blocks; or the stream's end at a header, with one zero block or none. A zero
// block and then something else is an error, as in Go's archive/tar: GNU tar would stop there and
// silently leave out what follows. The last body needs its padding, as in GNU tar and tarfile.
#include "tar/reader.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace ociunpack {
namespace {

std::string shown_type(char type_flag) {
  if (type_flag > 0x20 && type_flag < 0x7f) return std::string("'") + type_flag + "'";
  return "byte " + std::to_string(static_cast<unsigned char>(type_flag));
}

}  // namespace

Error TarReader::fail(Code code, std::string detail) {
  return input_error(code, "tar", {}, std::move(detail));
}

Error TarReader::over_limit(const char* limit, const char* what, uint64_t actual, uint64_t maximum,
                            const char* unit) {
  return input_error(Code::ERR_LIMIT_EXCEEDED, "tar", {},
                     std::string(limit) + ": " + what + " has " + std::to_string(actual) + unit +
                         ", at most " + std::to_string(maximum) + " are allowed");
}

Result<TarReader::Event> TarReader::next(std::span<const uint8_t>* input) {
  while (true) {
    switch (state_) {
      case State::kEntryReady:
        state_ = State::kBody;
        body_left_ = entry_.body_size;
        body_offset_ = 0;
        return Event{.kind = Event::kEntry, .entry = &entry_};
      case State::kBody: {
        if (body_left_ == 0) {
          skip_left_ = padding_;
          state_ = doubtful_left_ > 0 ? State::kDoubtfulBody
                   : skip_left_ > 0   ? State::kSkip
                                      : State::kHeader;
          return Event{.kind = Event::kEntryEnd};
        }
        if (input->empty()) return Event{};
        const size_t size = std::min<uint64_t>(body_left_, input->size());
        const Event event{
            .kind = Event::kData, .data = input->data(), .size = size, .offset = body_offset_};
        consume(input, size);
        body_left_ -= size;
        body_offset_ += size;
        return event;
      }
      case State::kEnd:
        consume(input, input->size());
        return Event{};
      case State::kFailed:
        return *failure_;
      default: {
        if (input->empty()) return Event{};
        Status status = step(input);
        if (!status.ok()) {
          Error& error = status.error();
          if (state_ == State::kSparseBlocks || state_ == State::kSparseText) {
            error.path = entry_.path;
          }
          error.detail += " (header at byte " + std::to_string(header_position_) + " of the tar)";
          failure_ = error;
          state_ = State::kFailed;
          return std::move(error);
        }
        if (state_ == State::kEnd) return Event{.kind = Event::kEnd};
      }
    }
  }
}

// One step of the states that make no event themselves; *input is not empty.
Status TarReader::step(std::span<const uint8_t>* input) {
  switch (state_) {
    case State::kHeader: {
      if (block_used_ == 0) header_position_ = position_;
      const uint8_t* block = take_block(input);
      return block ? read_header(block) : Status();
    }
    case State::kMetaBody: {
      const size_t size = std::min<uint64_t>(meta_left_, input->size());
      const char* bytes = reinterpret_cast<const char*>(input->data());
      meta_target_->insert(meta_target_->end(), bytes, bytes + size);
      consume(input, size);
      meta_left_ -= size;
      return meta_left_ == 0 ? end_meta() : Status();
    }
    case State::kSparseBlocks: {
      const uint8_t* block = take_block(input);
      return block ? read_sparse_block(block) : Status();
    }
    case State::kSparseText: {
      const size_t before = input->size();
      Result<bool> done = sparse_text_.feed(input);
      position_ += before - input->size();
      if (!done.ok()) return std::move(done).error();
      if (!done.value()) return {};
      entry_.body_size -= sparse_text_.consumed();
      return finish_sparse_map();
    }
    case State::kSkip: {
      const size_t size = std::min<uint64_t>(skip_left_, input->size());
      consume(input, size);
      skip_left_ -= size;
      if (skip_left_ == 0) state_ = State::kHeader;
      return {};
    }
    case State::kDoubtfulBody:
      return skip_doubtful_body(input);
    case State::kZeroBlock: {
      const uint8_t* block = take_block(input);
      if (!block) return {};
      if (!is_zero_block(block)) {
        return fail(Code::ERR_INVALID_TAR,
                    "a lone zero block in the middle of the tar: one zero block may end it, but "
                    "here more follows");
      }
      state_ = State::kEnd;
      return {};
    }
    default:
      return fail(Code::ERR_INTERNAL, "the tar reader is in no state to step");
  }
}

Status TarReader::finish() {
  switch (state_) {
    case State::kFailed:
      return *failure_;
    case State::kHeader:
      if (block_used_ == 0 && !has_pending_meta()) return {};
      break;
    case State::kZeroBlock:
      if (block_used_ == 0) return {};
      break;
    case State::kDoubtfulBody:
      // No header and no body followed, at most zero blocks: the end.
      if (block_used_ == 0 && doubtful_zero_ && doubtful_left_ % kBlockBytes == 0) return {};
      break;
    case State::kEnd:
      return {};
    default:
      break;
  }
  const char* where = state_ == State::kBody           ? "in the data of an entry"
                      : state_ == State::kSkip         ? "in the padding after an entry"
                      : state_ == State::kDoubtfulBody ? "in the data of a hard link"
                      : state_ == State::kSparseText || state_ == State::kSparseBlocks
                          ? "in a sparse map"
                      : state_ == State::kMetaBody ? "in an extended header"
                      : block_used_ > 0            ? "in a header"
                                                   : "after an extended header, without its entry";
  const bool in_entry = state_ == State::kBody || state_ == State::kSkip;
  return input_error(
      Code::ERR_TRUNCATED, "tar", in_entry ? std::string(entry_.path) : std::string(),
      std::string("the tar ends at byte ") + std::to_string(position_) + ", " + where);
}

void TarReader::consume(std::span<const uint8_t>* input, size_t size) {
  *input = input->subspan(size);
  position_ += size;
}

// The next block: in the input where it lies there whole, else gathered; null when more is needed.
const uint8_t* TarReader::take_block(std::span<const uint8_t>* input) {
  if (block_used_ == 0 && input->size() >= kBlockBytes) [[likely]] {
    const uint8_t* block = input->data();
    consume(input, kBlockBytes);
    return block;
  }
  const size_t size = std::min(kBlockBytes - block_used_, input->size());
  std::memcpy(block_.data() + block_used_, input->data(), size);
  consume(input, size);
  block_used_ += size;
  if (block_used_ < kBlockBytes) return nullptr;
  block_used_ = 0;
  return block_.data();
}

Status TarReader::read_header(const uint8_t* block) {
  if (!checksum_matches(block)) {
    if (is_zero_block(block)) {
      if (has_pending_meta()) {
        return fail(Code::ERR_INVALID_TAR,
                    "the tar ends after an extended header, without its entry");
      }
      state_ = State::kZeroBlock;
      return {};
    }
    return fail(Code::ERR_INVALID_TAR, entries_ == 0 && header_position_ == 0
                                           ? "not a tar: the first header's checksum is wrong"
                                           : "a header's checksum is wrong");
  }
  const char type_flag = static_cast<char>(block[kTypeOffset]);
  switch (type_flag) {
    case '0':
    case '\0':
    case '7':
    case 'S':
      return begin_entry(block, EntryType::kFile, type_flag);
    case '1':
      return begin_entry(block, EntryType::kHardlink, type_flag);
    case '2':
      return begin_entry(block, EntryType::kSymlink, type_flag);
    case '3':
      return begin_entry(block, EntryType::kCharDevice, type_flag);
    case '4':
      return begin_entry(block, EntryType::kBlockDevice, type_flag);
    case '5':
      return begin_entry(block, EntryType::kDirectory, type_flag);
    case '6':
      return begin_entry(block, EntryType::kFifo, type_flag);
    case 'x':
      if (has_pax_) return fail(Code::ERR_INVALID_TAR, "two pax headers before one entry");
      return begin_meta(block, Meta::kPax);
    case 'g':
      return begin_meta(block, Meta::kGlobal);
    case 'L':
      return begin_meta(block, Meta::kLongName);
    case 'K':
      return begin_meta(block, Meta::kLongLink);
    default: {
      Error error = fail(Code::ERR_INVALID_ENTRY, "unknown entry type " + shown_type(type_flag));
      error.path = text_field(block, kNameField);
      return error;
    }
  }
}

Status TarReader::begin_meta(const uint8_t* block, Meta meta) {
  uint64_t size = 0;
  OCIUNPACK_TRY(header_number(block, kSizeField, "size of an extended header", INT64_MAX, &size));
  if (size > limits_.max_pax_bytes) {
    return over_limit("maxPaxBytes", "an extended header", size, limits_.max_pax_bytes, " bytes");
  }
  meta_ = meta;
  meta_target_ = meta == Meta::kPax        ? &pax_bytes_
                 : meta == Meta::kGlobal   ? &global_bytes_
                 : meta == Meta::kLongName ? &long_name_bytes_
                                           : &long_link_bytes_;
  meta_target_->clear();
  meta_left_ = size;
  meta_padding_ = round_to_block(size) - size;
  state_ = State::kMetaBody;
  return size == 0 ? end_meta() : Status();
}

Status TarReader::end_meta() {
  skip_left_ = meta_padding_;
  state_ = skip_left_ > 0 ? State::kSkip : State::kHeader;
  switch (meta_) {
    case Meta::kPax:
      // Parsed with the entry, over the global values as they are then.
      has_pax_ = true;
      pax_archive_ = true;
      return {};
    case Meta::kGlobal:
      pax_archive_ = true;
      return globals_.apply(global_bytes_, limits_);
    case Meta::kLongName:
      return take_long_name(&long_name_bytes_, &long_name_);
    case Meta::kLongLink:
      return take_long_name(&long_link_bytes_, &long_link_);
  }
  return {};
}

// The body of an L or K header is a name, with a NUL or several at its end. The last one wins.
Status TarReader::take_long_name(std::vector<char>* bytes, std::optional<std::string_view>* name) {
  while (!bytes->empty() && bytes->back() == '\0') bytes->pop_back();
  if (std::find(bytes->begin(), bytes->end(), '\0') != bytes->end()) {
    return fail(Code::ERR_INVALID_ENTRY, "a GNU long name has a NUL byte");
  }
  if (bytes->empty()) return fail(Code::ERR_INVALID_ENTRY, "a GNU long name is empty");
  *name = std::string_view(bytes->data(), bytes->size());
  return {};
}

}  // namespace ociunpack
