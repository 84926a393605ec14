#include "pipeline/hash_queue.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace ociunpack {
namespace {

// Pieces that a pump may finish before others get the worker; as a strand.
constexpr int kTurn = 4;
// A stream without a partner is hashed in steps of this; after each, a partner may have come.
constexpr size_t kAloneBytes = 64 << 10;

}  // namespace

HashStream::HashStream(Scheduler& scheduler, const Scheduler::GroupRef& group, Hasher hasher)
    : queue_(HashQueue::of(scheduler, group)), state_(std::make_shared<State>(std::move(hasher))) {}

void HashStream::add(std::span<const uint8_t> bytes, Task done) {
  // Copies: the bytes may be done, and this stream destroyed, before we are.
  const std::shared_ptr<HashQueue> queue = queue_;
  queue->add(state_, Piece{bytes, std::move(done)});
}

void HashStream::update(std::span<const uint8_t> bytes) {
  const auto start = Clock::now();
  state_->hasher.update(bytes);
  state_->nanoseconds.fetch_add(nanoseconds_since(start), std::memory_order_relaxed);
}

// The pump's task. If it is destroyed unrun (shutdown), all that waits goes with it: what waits
// holds what holds the queue.
class HashQueue::Pump {
 public:
  explicit Pump(std::shared_ptr<HashQueue> queue) : queue_(std::move(queue)) {}
  Pump(Pump&&) noexcept = default;
  Pump& operator=(Pump&&) = delete;
  ~Pump() {
    if (queue_) queue_->drop_all();
  }
  void operator()() { std::exchange(queue_, nullptr)->pump(); }

 private:
  std::shared_ptr<HashQueue> queue_;
};

std::shared_ptr<HashQueue> HashQueue::of(Scheduler& scheduler, const Scheduler::GroupRef& group) {
  static std::mutex mutex;
  static std::vector<std::weak_ptr<HashQueue>>& known = *new std::vector<std::weak_ptr<HashQueue>>;
  const std::lock_guard lock(mutex);
  std::erase_if(known, [](const std::weak_ptr<HashQueue>& queue) { return queue.expired(); });
  for (const std::weak_ptr<HashQueue>& each : known) {
    std::shared_ptr<HashQueue> queue = each.lock();
    if (queue && queue->group_ == group) return queue;
  }
  std::shared_ptr<HashQueue> made(new HashQueue(scheduler, group));
  known.push_back(made);
  return made;
}

void HashQueue::add(const StreamRef& stream, HashStream::Piece piece) {
  bool post = false;
  {
    const std::lock_guard lock(mutex_);
    stream->pieces.push_back(std::move(piece));
    group_->drain_backlog_.fetch_add(1, std::memory_order_relaxed);
    if (!std::exchange(stream->listed, true)) {
      ready_.push_back(stream);
      post = want_pump();
    }
  }
  if (post) post_pump();
}

// Holds mutex_. Counts one more pump when there should be one: one for every two streams. An odd
// one waits for a partner while there is a pump, which will take it when one of its own has ended.
bool HashQueue::want_pump() {
  const size_t wanted = ready_.size() == 1 && running_ == 0 ? 1 : ready_.size() / 2;
  if (waiting_ >= wanted) return false;
  waiting_++;
  return true;
}

void HashQueue::post_pump() {
  scheduler_.enqueue(group_, TaskClass::kDrain, Pump(shared_from_this()), 0, false);
}

HashQueue::Taken HashQueue::take() {
  const std::lock_guard lock(mutex_);
  if (ready_.empty()) return {};
  Taken taken{std::move(ready_.front()), nullptr};
  ready_.pop_front();
  taken.piece = &taken.stream->pieces.front();
  return taken;
}

// The first piece is hashed to its end: the next one of the stream, or `taken` becomes empty. False
// when the piece is not at its end.
bool HashQueue::advance(Taken& taken) {
  if (!taken.stream || !taken.piece->left.empty()) return false;
  Task done;
  {
    const std::lock_guard lock(mutex_);
    std::deque<HashStream::Piece>& pieces = taken.stream->pieces;
    done = std::move(pieces.front().done);
    pieces.pop_front();
    group_->drain_backlog_.fetch_sub(1, std::memory_order_relaxed);
    if (pieces.empty()) {
      taken.stream->listed = false;
      taken = {};
    } else {
      taken.piece = &pieces.front();
    }
  }
  done();
  return true;
}

void HashQueue::end_pump(Taken& a, Taken& b) {
  bool post = false;
  {
    const std::lock_guard lock(mutex_);
    running_--;
    for (Taken* each : {&a, &b}) {
      if (each->stream) ready_.push_back(std::exchange(*each, {}).stream);
    }
    post = want_pump();
  }
  if (post) post_pump();
}

void HashQueue::pump() {
  {
    const std::lock_guard lock(mutex_);
    waiting_--;
    running_++;
  }
  Taken a = take();
  Taken b;
  int finished = 0;
  while (finished < kTurn) {
    if (!a.stream) std::swap(a, b);
    if (!a.stream) a = take();
    if (!a.stream) break;
    if (!b.stream) b = take();
    const auto start = Clock::now();
    if (b.stream) {
      const size_t size = std::min(a.piece->left.size(), b.piece->left.size());
      Hasher::update_both(a.stream->hasher, a.piece->left.first(size), b.stream->hasher,
                          b.piece->left.first(size));
      const uint64_t half = nanoseconds_since(start) / 2;
      for (const Taken* each : {&a, &b}) {
        each->piece->left = each->piece->left.subspan(size);
        each->stream->nanoseconds.fetch_add(half, std::memory_order_relaxed);
      }
    } else {
      const size_t size = std::min(a.piece->left.size(), kAloneBytes);
      a.stream->hasher.update(a.piece->left.first(size));
      a.piece->left = a.piece->left.subspan(size);
      a.stream->nanoseconds.fetch_add(nanoseconds_since(start), std::memory_order_relaxed);
    }
    finished += advance(a) ? 1 : 0;
    finished += advance(b) ? 1 : 0;
  }
  end_pump(a, b);
}

void HashQueue::drop_all() {
  std::deque<HashStream::Piece> dropped;  // destroyed after the lock is gone
  const std::lock_guard lock(mutex_);
  waiting_--;
  for (const StreamRef& stream : ready_) {
    for (HashStream::Piece& piece : stream->pieces) dropped.push_back(std::move(piece));
    group_->drain_backlog_.fetch_sub(stream->pieces.size(), std::memory_order_relaxed);
    stream->pieces.clear();
    stream->listed = false;
  }
  ready_.clear();
}

}  // namespace ociunpack
