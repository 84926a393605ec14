#include <utility>

#include "source/source.h"

namespace ociunpack {

Chunk::Chunk(std::vector<uint8_t> owned) {
  auto holder = std::make_shared<const std::vector<uint8_t>>(std::move(owned));
  bytes = *holder;
  owner = std::move(holder);
}

bool PushSource::push(Chunk chunk) {
  std::function<void()> wake;
  bool room = true;
  {
    const std::lock_guard lock(mutex_);
    // Nobody will read it; true, so that the producer is not left waiting for a drain.
    if (closed_ || end_ != End::kOpen) return true;
    if (!chunk.bytes.empty()) {
      queued_ += chunk.bytes.size();
      chunks_.push_back(std::move(chunk));
      if (std::exchange(consumer_waits_, false)) wake = on_readable_;
    }
    if (queued_ >= capacity_) full_ = true;
    room = !full_;
  }
  if (wake) wake();
  return room;
}

void PushSource::end() { finish(End::kEnded, {}); }

void PushSource::fail(Error error) { finish(End::kFailed, std::move(error)); }

void PushSource::finish(End end, Error error) {
  std::function<void()> wake;
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || end_ != End::kOpen) return;
    end_ = end;
    error_ = std::move(error);
    if (std::exchange(consumer_waits_, false)) wake = on_readable_;
  }
  if (wake) wake();
}

void PushSource::on_drained(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  if (!closed_) on_drained_ = std::move(callback);
}

void PushSource::on_readable(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  if (!closed_) on_readable_ = std::move(callback);
}

Result<PushSource::Popped> PushSource::pop() {
  Popped popped;
  std::function<void()> drained;
  {
    const std::lock_guard lock(mutex_);
    if (!chunks_.empty()) {
      popped.kind = Popped::kChunk;
      popped.chunk = std::move(chunks_.front());
      chunks_.pop_front();
      queued_ -= popped.chunk.bytes.size();
      if (full_ && queued_ <= capacity_ / 2) {
        full_ = false;
        drained = on_drained_;
      }
    } else if (end_ == End::kFailed) {
      return error_;
    } else if (end_ == End::kEnded || closed_) {
      popped.kind = Popped::kEnd;
    } else {
      consumer_waits_ = true;
    }
  }
  if (drained) drained();
  return popped;
}

void PushSource::close() {
  // Destroyed without the lock: what they hold may hold this source.
  std::deque<Chunk> dropped;
  std::function<void()> drained;
  std::function<void()> readable;
  bool producer_waits = false;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
    dropped.swap(chunks_);
    drained.swap(on_drained_);
    readable.swap(on_readable_);
    queued_ = 0;
    consumer_waits_ = false;
    producer_waits = std::exchange(full_, false);
  }
  if (producer_waits && drained) drained();
}

size_t PushSource::queued_bytes() const {
  const std::lock_guard lock(mutex_);
  return queued_;
}

}  // namespace ociunpack
