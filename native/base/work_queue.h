// WorkQueue: what several threads have to do, and find more to do by doing it. Begins on the
// caller's thread; another one starts whenever work is added, until there are enough. Ends when
// nothing is left, or upon the first failure. Its functions may be called on any of the threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/result.h"

namespace ociunpack {

class WorkQueue {
 public:
  using Work = std::function<void()>;

  // Does `first`, and what is added meanwhile, on up to `threads` threads (1 to 64), the caller's
  // among them; fewer where no more can be had. The first failure is returned. Once.
  Status run(unsigned threads, Work first);

  // Work that leads to more: the newest goes first, which keeps the queue short where it stands for
  // a tree.
  void add(Work work);

  // Work that holds something open: goes before the other kind, the oldest first. No room for it:
  // four times as much as there are threads waits, or there is one thread only; whoever has such
  // work then does it himself. Threads that ask at the same time may all find the last room.
  void add_open(Work work);
  bool has_room();

  // Ends the run: what waits, or is added from now on, is not done. The first failure counts.
  void fail(Error error);
  // True then: for work that takes long, to end early.
  bool failed() const { return failed_.load(std::memory_order_relaxed); }

 private:
  void push(std::deque<Work>* queue, Work work);  // with the lock held
  void take_part();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> leading_;
  std::deque<Work> open_;
  size_t pending_ = 0;  // queued or in work
  size_t most_threads_ = 1;
  std::vector<std::thread> others_;
  std::optional<Error> failure_;
  std::atomic<bool> failed_{false};
};

}  // namespace ociunpack
