#include "base/work_queue.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace ociunpack {
namespace {

constexpr unsigned kMostThreads = 64;
// Open work that waits, for each thread: as much as keeps it busy.
constexpr size_t kMostOpen = 4;

}  // namespace

Status WorkQueue::run(unsigned threads, Work first) {
  add(std::move(first));
  most_threads_ = std::clamp(threads, 1U, kMostThreads);
  take_part();
  // Nothing is left, or something has failed: no other thread starts any more.
  for (std::thread& thread : others_) thread.join();
  if (failure_) return *std::move(failure_);
  return {};
}

void WorkQueue::add(Work work) {
  const std::lock_guard lock(mutex_);
  push(&leading_, std::move(work));
}

void WorkQueue::add_open(Work work) {
  const std::lock_guard lock(mutex_);
  push(&open_, std::move(work));
}

bool WorkQueue::has_room() {
  const std::lock_guard lock(mutex_);
  return most_threads_ > 1 && open_.size() < kMostOpen * most_threads_;
}

void WorkQueue::push(std::deque<Work>* queue, Work work) {
  if (failure_) return;
  queue->push_back(std::move(work));
  ++pending_;
  changed_.notify_one();
  if (others_.size() + 1 >= most_threads_) return;
  try {
    others_.emplace_back([this] { take_part(); });
  } catch (const std::system_error&) {
    most_threads_ = others_.size() + 1;
  }
}

void WorkQueue::fail(Error error) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(error);
  failed_ = true;
  changed_.notify_all();
}

void WorkQueue::take_part() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(
        lock, [this] { return !leading_.empty() || !open_.empty() || pending_ == 0 || failure_; });
    if (pending_ == 0 || failure_) return;
    Work next;
    if (!open_.empty()) {
      next = std::move(open_.front());
      open_.pop_front();
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

}  // namespace ociunpack
