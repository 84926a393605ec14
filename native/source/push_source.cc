#include <algorithm>
#include <cstring>
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
      hand_over();
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

bool PushSource::append(std::span<const uint8_t> bytes) {
  bool room = true;
  while (!bytes.empty()) {
    if (!block_) {
      std::shared_ptr<uint8_t[]> block = new_block();
      const std::lock_guard lock(mutex_);
      block_ = std::move(block);
      filled_ = sent_ = 0;
    }
    const size_t size = std::min(bytes.size(), kBlockBytes - filled_);
    // SAFETY: nobody else writes filled_, nor looks at what lies behind it.
    std::memcpy(block_.get() + filled_, bytes.data(), size);
    bytes = bytes.subspan(size);
    std::function<void()> wake;
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || end_ != End::kOpen) return true;
      filled_ += size;
      queued_ += size;
      const bool wanted = std::exchange(consumer_waits_, false);
      if (wanted) wake = on_readable_;
      if (filled_ == kBlockBytes) {
        hand_over();
        block_.reset();
      }
      if (queued_ >= capacity_) full_ = true;
      room = !full_;
    }
    if (wake) wake();
  }
  return room;
}

std::shared_ptr<uint8_t[]> PushSource::new_block() {
  std::unique_ptr<uint8_t[]> memory;
  {
    const std::lock_guard lock(blocks_->mutex);
    if (!blocks_->free.empty()) {
      memory = std::move(blocks_->free.back());
      blocks_->free.pop_back();
    }
  }
  if (memory == nullptr) memory = std::make_unique_for_overwrite<uint8_t[]>(kBlockBytes);
  return {memory.release(), [blocks = blocks_](uint8_t* held) {
            const std::lock_guard lock(blocks->mutex);
            blocks->free.emplace_back(held);
          }};
}

void PushSource::hand_over() {
  if (filled_ == sent_) return;
  chunks_.emplace_back(std::span<const uint8_t>(block_.get() + sent_, filled_ - sent_), block_);
  sent_ = filled_;
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
    if (chunks_.empty()) hand_over();
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
    sent_ = filled_;
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
