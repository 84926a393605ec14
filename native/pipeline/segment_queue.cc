#include "pipeline/segment_queue.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace ociunpack {

SegmentQueue::SegmentQueue(Compression compression, const DecodeOptions& options, uint64_t units,
                           size_t ahead, Hooks hooks)
    : compression_(compression),
      options_(options),
      hooks_(std::move(hooks)),
      // A segment is cut at the first boundary past kSegmentBytes: twice that is usual.
      capacity_((ahead + 1) * 2 * kSegmentBytes),
      scanner_(make_unit_scanner(compression)),
      units_(units) {}

bool SegmentQueue::wants_input() const {
  if (input_ended_) return false;
  // An unfinished first segment must go on, however much is held.
  return held_ < capacity_ || (segments_.size() == 1 && !segments_.front()->closed &&
                               segments_.front()->piece == segments_.front()->pieces.size());
}

void SegmentQueue::add(Chunk chunk) {
  std::vector<size_t> cuts;
  scanner_->scan(chunk.bytes, &cuts);
  cuts.push_back(chunk.bytes.size());
  size_t begin = 0;
  for (size_t i = 0; i < cuts.size(); ++i) {
    Segment& segment = open_segment();
    const bool at_end = i + 1 == cuts.size();
    if (!at_end && segment.bytes + (cuts[i] - begin) < kSegmentBytes) continue;
    if (cuts[i] > begin) {
      segment.pieces.emplace_back(chunk.bytes.subspan(begin, cuts[i] - begin), chunk.owner);
      segment.bytes += cuts[i] - begin;
      held_ += cuts[i] - begin;
      begin = cuts[i];
    }
    if (!at_end) close(segments_.back());
  }
}

void SegmentQueue::end_input() {
  if (std::exchange(input_ended_, true)) return;
  open_segment().last = true;
  close(segments_.back());
}

SegmentQueue::Segment& SegmentQueue::open_segment() {
  if (segments_.empty() || segments_.back()->closed) {
    segments_.push_back(std::make_shared<Segment>());
  }
  return *segments_.back();
}

// No more will be added to the segment. The first one is the strand's own to decode.
void SegmentQueue::close(const SegmentRef& segment) {
  segment->closed = true;
  if (segment == segments_.front() || segment->pieces.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    segment->state = State::kQueued;
  }
  hooks_.post([weak = weak_from_this(), segment] {
    if (const auto self = weak.lock()) self->run_ahead(segment);
  });
}

void SegmentQueue::run_ahead(const SegmentRef& segment) {
  {
    const std::lock_guard lock(mutex_);
    // The strand may have come to it first.
    if (segment->state != State::kQueued) return;
    segment->state = State::kRunning;
  }
  const auto start = Clock::now();
  decode_ahead(*segment);
  ahead_nanoseconds_.fetch_add(nanoseconds_since(start), std::memory_order_relaxed);
  bool wake;
  {
    const std::lock_guard lock(mutex_);
    segment->state = State::kIdle;
    wake = std::exchange(waiting_, false);
  }
  if (wake) hooks_.wake();
}

// Until it is done, has failed, or has been given all the memory that may be used ahead of time.
void SegmentQueue::decode_ahead(Segment& segment) {
  segment.decoder = make_decoder(compression_, options_);
  segment.decoder->follow(1);
  SlabPool& pool = SlabPool::instance();
  while (!segment.finished && segment.slabs.size() < kSlabsAhead && !hooks_.stopped()) {
    // The other half of the budget is for those whose turn it is: they never wait for us.
    if (pool.in_use() > pool.budget() / 2) return;
    SlabRef slab = pool.try_acquire();
    if (!slab) return;
    auto produced = advance(segment, slab.space());
    if (!produced.ok()) {
      segment.failed = true;
      return;
    }
    slab.set_size(produced.value());
    if (slab.size() > 0) segment.slabs.push_back(std::move(slab));
  }
}

// Fills `out`, or finishes the segment's pieces.
Result<size_t> SegmentQueue::advance(Segment& segment, std::span<uint8_t> out) const {
  size_t produced = 0;
  while (produced < out.size()) {
    const bool more = segment.piece < segment.pieces.size();
    std::span<const uint8_t> in;
    if (more) in = segment.pieces[segment.piece].bytes.subspan(segment.offset);
    const bool ends = segment.last && segment.piece + 1 >= segment.pieces.size();
    OCIUNPACK_ASSIGN(const DecodeStep step,
                     segment.decoder->decode(in, ends, out.subspan(produced)));
    produced += step.produced;
    segment.offset += step.consumed;
    if (more && step.consumed == in.size()) {
      ++segment.piece;
      segment.offset = 0;
    }
    if (step.finished || (!ends && segment.piece == segment.pieces.size() &&
                          produced < out.size() && step.produced == 0)) {
      segment.finished = segment.closed;
      break;
    }
  }
  return produced;
}

// Makes the first segment the strand's; false when a worker still decodes it.
bool SegmentQueue::take(const SegmentRef& segment) {
  {
    const std::lock_guard lock(mutex_);
    if (segment->state == State::kRunning) {
      waiting_ = true;
      return false;
    }
    segment->state = State::kIdle;
  }
  if (std::exchange(segment->taken, true)) return true;
  if (segment->failed || segment->decoder == nullptr) {
    // Decoded again, slab by slab, so that an error comes at its place and counts the units right.
    segment->slabs.clear();
    segment->piece = segment->offset = 0;
    segment->finished = segment->failed = false;
    segment->decoder = make_decoder(compression_, options_);
  }
  segment->decoder->follow(units_);
  return true;
}

SegmentQueue::Next SegmentQueue::next(SlabRef* slab) {
  for (;;) {
    if (segments_.empty()) return input_ended_ ? Next::kEnd : Next::kNeedInput;
    const SegmentRef first = segments_.front();
    if (!take(first)) return Next::kWait;
    if (!first->slabs.empty()) {
      *slab = std::move(first->slabs.front());
      first->slabs.pop_front();
      return Next::kSlab;
    }
    if (!first->finished) {
      if (!first->closed && first->piece == first->pieces.size()) return Next::kNeedInput;
      return Next::kDecode;
    }
    if (first->last || first->decoder->at_boundary()) {
      units_ = first->decoder->units();
      held_ -= first->bytes;
      segments_.pop_front();
      continue;
    }
    // The cut was wrong: what follows belongs to this segment.
    first->finished = false;
    if (segments_.size() == 1) {
      first->closed = false;
    } else if (!merge_next()) {
      first->finished = true;
      return Next::kWait;
    }
  }
}

// Appends the second segment's bytes to the first; false while a worker decodes it.
bool SegmentQueue::merge_next() {
  const SegmentRef second = segments_[1];
  {
    const std::lock_guard lock(mutex_);
    if (second->state == State::kRunning) {
      waiting_ = true;
      return false;
    }
    second->state = State::kIdle;
  }
  Segment& first = *segments_.front();
  for (Chunk& piece : second->pieces) first.pieces.push_back(std::move(piece));
  first.bytes += second->bytes;
  first.closed = second->closed;
  first.last = second->last;
  segments_.erase(segments_.begin() + 1);
  return true;
}

Result<size_t> SegmentQueue::decode(std::span<uint8_t> out) {
  Segment& first = *segments_.front();
  OCIUNPACK_ASSIGN(const size_t produced, advance(first, out));
  drop_used(first);
  return produced;
}

// Lets go of what will not be looked at again, so that its memory is read into again.
void SegmentQueue::drop_used(Segment& segment) {
  for (size_t i = 0; i < segment.piece; ++i) {
    segment.bytes -= segment.pieces[i].bytes.size();
    held_ -= segment.pieces[i].bytes.size();
  }
  segment.pieces.erase(segment.pieces.begin(),
                       segment.pieces.begin() + static_cast<ptrdiff_t>(segment.piece));
  segment.piece = 0;
}

}  // namespace ociunpack
