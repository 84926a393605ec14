#include "decode/gzip_decoder.h"

#include <string>

namespace ociunpack {
namespace {

constexpr uint8_t kMagic[] = {0x1f, 0x8b};

}  // namespace

GzipDecoder::GzipDecoder(std::unique_ptr<InflateEngine> engine, const DecodeOptions& options)
    : engine_(std::move(engine)), trailing_(options.ignore_trailing_garbage) {}

Result<DecodeStep> GzipDecoder::decode(std::span<const uint8_t> in, bool last,
                                       std::span<uint8_t> out) {
  const size_t in_size = in.size();
  const size_t out_size = out.size();
  bool stalled = false;  // the engine waits for input or room
  while (!stalled) {
    if (state_ == State::kBody) {
      OCIUNPACK_ASSIGN(stalled, body(&in, &out));
      stalled = stalled || (stops_ && state_ == State::kBetween);
      continue;
    }
    if (in.empty()) break;
    switch (state_) {
      case State::kHeader:
        OCIUNPACK_TRY(header(&in));
        break;
      case State::kTrailer:
        OCIUNPACK_TRY(trailer(&in));
        stalled = stops_ && state_ == State::kBetween;
        break;
      case State::kBetween:
      case State::kMagic:
        OCIUNPACK_TRY(between(&in));
        break;
      case State::kTrailing:
        OCIUNPACK_TRY(trailing_.check(in, "gunzip"));
        in = {};
        break;
      case State::kBody:
        break;
    }
  }
  DecodeStep step{in_size - in.size(), out_size - out.size(), false};
  if (last && in.empty() && (state_ != State::kBody || !out.empty())) {
    // Nothing more will come, and the engine has given all it can.
    OCIUNPACK_TRY(end());
    step.finished = true;
  }
  return step;
}

void GzipDecoder::follow(uint64_t units) {
  if (before_ == 0 && members_ == 0) state_ = State::kBetween;
  before_ = units;
}

Status GzipDecoder::header(std::span<const uint8_t>* in) {
  if (!header_.parse(in)) {
    return input_error(Code::ERR_INVALID_GZIP, "gunzip", {}, header_.error());
  }
  if (header_.done()) {
    engine_->reset();
    crc_ = 0;
    size_ = 0;
    state_ = State::kBody;
  }
  return {};
}

Result<bool> GzipDecoder::body(std::span<const uint8_t>* in, std::span<uint8_t>* out) {
  const InflateEngine::Step step = engine_->inflate(*in, *out);
  if (step.error) return input_error(Code::ERR_INVALID_GZIP, "gunzip", {}, step.error);
  crc_ = engine_->crc(crc_, out->first(step.produced));
  size_ += step.produced;
  *in = in->subspan(step.consumed);
  *out = out->subspan(step.produced);
  if (step.ended) {
    trailer_.reset();
    // No more than the trailer holds: kMaxLeftover is kBytes.
    static_assert(InflateEngine::kMaxLeftover <= GzipTrailer::kBytes);
    std::span<const uint8_t> leftover(step.leftover, step.leftover_count);
    state_ = State::kTrailer;
    OCIUNPACK_TRY(trailer(&leftover));
    return false;
  }
  if (out->empty()) return true;
  if (step.consumed > 0 || step.produced > 0) return false;
  if (in->empty()) return true;
  // Input and room, and yet no step: an engine that would be called for ever.
  return input_error(Code::ERR_INVALID_GZIP, "gunzip", {}, "the decoder makes no progress");
}

Status GzipDecoder::trailer(std::span<const uint8_t>* in) {
  trailer_.parse(in);
  if (!trailer_.done()) return {};
  if (trailer_.crc() != crc_) {
    return input_error(Code::ERR_INVALID_GZIP, "gunzip", {},
                       "wrong CRC-32 of gzip member " + std::to_string(units() + 1));
  }
  if (trailer_.size() != static_cast<uint32_t>(size_)) {
    return input_error(Code::ERR_INVALID_GZIP, "gunzip", {},
                       "wrong length (ISIZE) of gzip member " + std::to_string(units() + 1));
  }
  members_++;
  state_ = State::kBetween;
  return {};
}

Status GzipDecoder::between(std::span<const uint8_t>* in) {
  const uint8_t byte = in->front();
  if (state_ == State::kBetween) {
    if (byte == kMagic[0]) {
      state_ = State::kMagic;
      *in = in->subspan(1);
    } else {
      state_ = State::kTrailing;
    }
    return {};
  }
  std::span<const uint8_t> first(kMagic, 1);
  if (byte != kMagic[1]) {
    state_ = State::kTrailing;
    return trailing_.check(first, "gunzip");
  }
  header_.reset();
  state_ = State::kHeader;
  return header(&first);
}

Status GzipDecoder::end() const {
  const char* where = "";
  switch (state_) {
    case State::kBetween:
    case State::kTrailing:
      return {};
    case State::kMagic:
      if (trailing_.ignore_garbage()) return {};
      [[fallthrough]];
    case State::kHeader:
      where = "in a header";
      break;
    case State::kBody:
      where = "in compressed data";
      break;
    case State::kTrailer:
      where = "in a trailer";
      break;
  }
  return input_error(Code::ERR_TRUNCATED, "gunzip", {},
                     std::string("the gzip stream ends ") + where + ", after " +
                         std::to_string(units()) + " complete members");
}

}  // namespace ociunpack
