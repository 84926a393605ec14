#include "audit/work_queue.h"

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace ociunpack {

void WorkQueue::add(Work work) {
  const std::lock_guard lock(mutex_);
  leading_.push_back(std::move(work));
  ++pending_;
  changed_.notify_one();
}

void WorkQueue::add_final(Work work) {
  const std::lock_guard lock(mutex_);
  final_.push_back(std::move(work));
  ++pending_;
  changed_.notify_one();
}

bool WorkQueue::try_add_final(const Work& work) {
  const std::lock_guard lock(mutex_);
  if (final_.size() >= most_final_) return false;
  final_.push_back(work);
  ++pending_;
  changed_.notify_one();
  return true;
}

void WorkQueue::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !leading_.empty() || !final_.empty() || pending_ == 0; });
    if (pending_ == 0) return;
    Work next;
    if (!final_.empty()) {
      next = std::move(final_.front());
      final_.pop_front();
    } else {
      next = std::move(leading_.back());
      leading_.pop_back();
    }
    lock.unlock();
    next();
    next = nullptr;  // lets go of what it holds
    lock.lock();
    if (--pending_ == 0) changed_.notify_all();
  }
}

void WorkQueue::run(unsigned threads) {
  // With one thread, whatever is found is done at once.
  most_final_ = threads > 1 ? size_t{threads} * 4 : 0;
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; ++i) {
    try {
      others.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      break;
    }
  }
  work();
  for (std::thread& thread : others) thread.join();
}

}  // namespace ociunpack
