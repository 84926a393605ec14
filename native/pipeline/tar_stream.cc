#include "pipeline/tar_stream.h"

#include <utility>

#include "base/clock.h"

namespace ociunpack {
double TarStream::decode_ms() const {
  return decode_ms_ + (segments_ ? static_cast<double>(segments_->ahead_nanoseconds()) / 1e6 : 0.0);
}

Result<TarStream::Got> TarStream::next(SlabRef* slab) {
  if (segments_) return next_segment_slab(slab);
  if (finished_) return Got::kEnd;
  return decode(slab);
}

Result<BlobReader::Piece> TarStream::read() {
  const auto start = Clock::now();
  OCIUNPACK_ASSIGN(BlobReader::Piece piece, reader_->read());
  read_ms_ += milliseconds_since(start);
  if (piece.kind == BlobReader::Piece::kBytes) OCIUNPACK_TRY(hooks_.on_piece(piece.chunk));
  return piece;
}

// Gets more compressed bytes; false when there are none yet. Chooses the decoder by the first ones.
Result<bool> TarStream::next_input() {
  OCIUNPACK_ASSIGN(BlobReader::Piece piece, read());
  if (piece.kind == BlobReader::Piece::kNothingYet) return false;
  if (piece.kind == BlobReader::Piece::kEnd) {
    input_ended_ = true;
  } else {
    input_ = std::move(piece.chunk);
    input_left_ = input_.bytes;
  }
  if (decoder_ != nullptr) return true;

  std::span<const uint8_t> seen = input_left_;
  if (!head_.empty() || (seen.size() < kDetectBytes && !input_ended_)) {
    // The first pieces of a stream may be tiny: gather them until the magic is whole.
    head_.insert(head_.end(), seen.begin(), seen.end());
    seen = head_;
    if (seen.size() < kDetectBytes && !input_ended_) return true;
  }
  OCIUNPACK_ASSIGN(compression_, detect(seen));
  decoder_ = make_decoder(compression_, options_);
  if (!head_.empty()) {
    auto gathered = std::make_shared<std::vector<uint8_t>>(std::exchange(head_, {}));
    input_ = Chunk(*gathered, gathered);
    input_left_ = input_.bytes;
  }
  return true;
}

// Decodes into a slab until it is full or the stream ends, by one decoder.
Result<TarStream::Got> TarStream::decode(SlabRef* slab) {
  if (!filling_ && !hooks_.acquire(&filling_)) return Got::kWait;
  while (filling_.size() < filling_.capacity() && !finished_) {
    if (decoder_ == nullptr || (input_left_.empty() && !input_ended_)) {
      OCIUNPACK_ASSIGN(const bool got, next_input());
      if (!got) {
        if (filling_.size() > 0) break;
        filling_.reset();
        return Got::kWait;
      }
      if (decoder_ == nullptr) continue;
    }
    const auto start = Clock::now();
    OCIUNPACK_ASSIGN(const DecodeStep step,
                     decoder_->decode(input_left_, input_ended_, filling_.space()));
    decode_ms_ += milliseconds_since(start);
    input_left_ = input_left_.subspan(step.consumed);
    filling_.set_size(filling_.size() + step.produced);
    finished_ = step.finished;
    if (ahead_ > 0 && !finished_ && decoder_->units() > 0) {
      // A second unit has begun, or will: from the next boundary on they are decoded in parallel.
      decoder_->stop_at_boundary();
      if (decoder_->at_boundary() && !(input_ended_ && input_left_.empty())) {
        OCIUNPACK_TRY(start_segments());
        break;
      }
    }
  }
  if (filling_.size() == 0) {
    filling_.reset();
    return segments_ ? next_segment_slab(slab) : Result<Got>(Got::kEnd);
  }
  *slab = std::move(filling_);
  return Got::kSlab;
}

Status TarStream::start_segments() {
  segments_ = std::make_shared<SegmentQueue>(compression_, options_, decoder_->units(), ahead_,
                                             hooks_.segments);
  // Two buffers a segment may be pinned by a few bytes of each.
  reader_->set_buffers(BlobReader::kBuffers + segments_->capacity() / BlobReader::kBufferBytes +
                       2 * (ahead_ + 1));
  if (!input_left_.empty()) segments_->add(Chunk(input_left_, input_.owner));
  input_ = {};
  input_left_ = {};
  if (input_ended_) segments_->end_input();
  return {};
}

// Reads what the queue wants; false when there is nothing to read yet.
Result<bool> TarStream::feed_segments() {
  while (segments_->wants_input()) {
    OCIUNPACK_ASSIGN(BlobReader::Piece piece, read());
    if (piece.kind == BlobReader::Piece::kNothingYet) return false;
    if (piece.kind == BlobReader::Piece::kEnd) {
      input_ended_ = true;
      segments_->end_input();
    } else {
      segments_->add(std::move(piece.chunk));
    }
  }
  return true;
}

// The next slab that was decoded ahead of time, or one that is decoded here and now.
Result<TarStream::Got> TarStream::next_segment_slab(SlabRef* slab) {
  for (;;) {
    OCIUNPACK_ASSIGN(const bool fed, feed_segments());
    switch (segments_->next(slab)) {
      case SegmentQueue::Next::kSlab:
        return Got::kSlab;
      case SegmentQueue::Next::kDecode: {
        if (!filling_ && !hooks_.acquire(&filling_)) return Got::kWait;
        const auto start = Clock::now();
        OCIUNPACK_ASSIGN(const size_t produced, segments_->decode(filling_.space()));
        decode_ms_ += milliseconds_since(start);
        if (produced == 0) continue;
        filling_.set_size(produced);
        *slab = std::move(filling_);
        return Got::kSlab;
      }
      case SegmentQueue::Next::kNeedInput:
        if (fed) continue;
        filling_.reset();
        return Got::kWait;
      case SegmentQueue::Next::kWait:
        filling_.reset();
        return Got::kWait;
      case SegmentQueue::Next::kEnd:
        filling_.reset();
        return Got::kEnd;
    }
  }
}

}  // namespace ociunpack
