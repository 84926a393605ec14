// WorkQueue: what several threads have to do, and find more to do by doing it. Ends when nothing is
// left.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace ociunpack {

class WorkQueue {
 public:
  using Work = std::function<void()>;

  // Work that leads to more: the newest goes first, which keeps the queue short where it stands for
  // a tree.
  void add(Work work);

  // Work that holds something open: goes before the other kind, in order. try_add_final() refuses
  // it when much of it waits; whoever had it then does it himself.
  void add_final(Work work);
  bool try_add_final(const Work& work);

  // Does all work on `threads` threads, the caller's among them; fewer where no more can be had.
  void run(unsigned threads);

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> leading_;
  std::deque<Work> final_;
  size_t pending_ = 0;  // queued or in work
  size_t most_final_ = 1;
};

}  // namespace ociunpack
