// HashQueue: what a group's layers have to hash (their blobs and their tars), taken two streams at
// a time, since two together take little more than one alone (digest/sha256.h).
//
// Like a strand for each stream: its bytes are hashed in order, by one worker at a time, and count
// as drain work that waits. A pump, a task in the scheduler, takes two streams that have bytes,
// and hands them back after a few slabs' worth, so that others get the worker.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>

#include "digest/digest.h"
#include "pipeline/scheduler.h"
#include "pipeline/task.h"

namespace ociunpack {

class HashQueue;

// One hash in progress.
class HashStream {
 public:
  // Its queue is that of `group`.
  HashStream(Scheduler& scheduler, const Scheduler::GroupRef& group, Hasher hasher);

  // Queues bytes to be hashed; any thread, in the order of the calls. `done` is called on a worker
  // after that, and must keep the bytes alive; it may keep what holds this stream. If the scheduler
  // shuts down, it is destroyed uncalled.
  void add(std::span<const uint8_t> bytes, Task done);

  // Hashes here and now. Not together with add().
  void update(std::span<const uint8_t> bytes);

  // When all that was added is done: ends the hash.
  Digest finish() { return state_->hasher.finish(); }

  // What hashing has taken so far; of two hashed together each has its share.
  uint64_t nanoseconds() const { return state_->nanoseconds.load(std::memory_order_relaxed); }

 private:
  friend class HashQueue;
  struct Piece {
    std::span<const uint8_t> left;
    Task done;
  };
  struct State {
    explicit State(Hasher hasher) : hasher(std::move(hasher)) {}
    Hasher hasher;  // of who has taken the stream
    std::atomic<uint64_t> nanoseconds{0};
    // Guarded by the queue's mutex; the first piece belongs to who has taken the stream.
    std::deque<Piece> pieces;
    bool listed = false;  // in HashQueue::ready_, or taken by a pump
  };
  std::shared_ptr<HashQueue> queue_;
  std::shared_ptr<State> state_;
};

class HashQueue : public std::enable_shared_from_this<HashQueue> {
 public:
  // The queue of a group; made at first use, kept by its streams. Any thread.
  static std::shared_ptr<HashQueue> of(Scheduler& scheduler, const Scheduler::GroupRef& group);

 private:
  friend class HashStream;
  using StreamRef = std::shared_ptr<HashStream::State>;
  class Pump;
  // A stream that a pump has taken, and its first piece; empty when there was none.
  struct Taken {
    StreamRef stream;
    HashStream::Piece* piece = nullptr;
  };

  HashQueue(Scheduler& scheduler, Scheduler::GroupRef group)
      : scheduler_(scheduler), group_(std::move(group)) {}
  void add(const StreamRef& stream, HashStream::Piece piece);
  void pump();
  Taken take();
  bool advance(Taken& taken);
  void end_pump(Taken& a, Taken& b);
  bool want_pump();
  void post_pump();
  void drop_all();

  Scheduler& scheduler_;
  const Scheduler::GroupRef group_;
  std::mutex mutex_;
  std::deque<StreamRef> ready_;  // streams with pieces that nobody has taken
  size_t waiting_ = 0;           // pumps in the scheduler, not begun
  size_t running_ = 0;           // pumps at work
};

}  // namespace ociunpack
