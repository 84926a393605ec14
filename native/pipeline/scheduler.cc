#include "pipeline/scheduler.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/unique_fd.h"
#include "pipeline/cpu_count.h"

namespace ociunpack {
namespace {

thread_local bool is_worker = false;

// Makes the process's table of descriptors as large as open directories may want it. The kernel
// doubles it as it fills and waits for an RCU grace period each time, since threads share it: some
// 10 ms, in which the decode strand would stand still.
void grow_descriptor_table() {
  constexpr rlim_t kWanted = 2048;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < 2) return;
  const UniqueFd any(::open("/", O_PATH | O_CLOEXEC));
  const int last = static_cast<int>(std::min(limit.rlim_cur, kWanted)) - 1;
  const UniqueFd high(::fcntl(any.get(), F_DUPFD_CLOEXEC, last));
}

std::mutex users_mutex;
unsigned users = 0;

}  // namespace

Scheduler& Scheduler::instance() {
  // Leaked: a static destructor would join threads that the exiting process no longer schedules.
  static Scheduler* const scheduler = new Scheduler;
  return *scheduler;
}

void Scheduler::retain() {
  const std::lock_guard lock(users_mutex);
  users++;
}

void Scheduler::release() {
  // The lock is held through the shutdown: a new user waits, and then finds a clean scheduler.
  const std::lock_guard lock(users_mutex);
  if (users > 0 && --users == 0) instance().shutdown();
}

unsigned Scheduler::default_concurrency() {
  static const unsigned count = std::min(cpu_count(), kMaxWorkers);
  return count;
}

bool Scheduler::on_worker() { return is_worker; }

Result<Scheduler::GroupRef> Scheduler::make_group(unsigned concurrency) {
  const unsigned bound =
      concurrency == 0 ? default_concurrency() : std::min(concurrency, kMaxWorkers);
  const std::lock_guard no_shutdown(shutdown_mutex_);
  std::unique_lock lock(mutex_);
  stopped_ = false;
  target_ = std::max({target_, default_concurrency(), bound});
  if (workers_.empty()) {
    if (const int error = start_worker()) {
      return system_error(error, "pthread_create", {}, "worker thread");
    }
  }
  started_.wait(lock, [this] { return ready_ > 0; });
  return GroupRef(new Group(bound));
}

void Scheduler::post(const GroupRef& group, TaskClass task_class, Task task, uint64_t weight) {
  enqueue(group, task_class, std::move(task), weight, true);
}

void Scheduler::post_to(Place place, const GroupRef& group, Task task) {
  enqueue(group, TaskClass::kDrain, std::move(task), 0, true, place);
}

void Scheduler::enqueue(const GroupRef& group, TaskClass task_class, Task task, uint64_t weight,
                        bool counted, Place place) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;  // `task`, an argument, is destroyed after the lock is gone
    if (task_class == TaskClass::kDecode) {
      group->decodes_.push_back({weight, sequence_++, std::move(task)});
      std::push_heap(group->decodes_.begin(), group->decodes_.end());
    } else {
      group->drains_.push_back({std::move(task), counted, place});
      if (counted) group->drain_backlog_.fetch_add(1, std::memory_order_relaxed);
    }
    if (!group->listed_) {
      group->listed_ = true;
      pending_.push_back(group);
    }
    if (group->runnable()) {
      wake = sleeping_ > 0;
      // Not being able to start another worker is no failure: those that run will get to the task.
      if (!wake && workers_.size() < target_) start_worker();
    }
  }
  if (wake) work_.notify_one();
}

int Scheduler::start_worker() {
  auto worker = std::make_unique<Worker>();
  worker->scheduler = this;
  worker->number = static_cast<unsigned>(workers_.size());
  // Signals are blocked in the new thread from its first instruction (it inherits the mask), so
  // that Node's handlers run on the threads that Node expects.
  sigset_t all;
  sigset_t previous;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &previous);
  const int error = ::pthread_create(&worker->thread, nullptr, worker_entry, worker.get());
  ::pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  if (error == 0) workers_.push_back(std::move(worker));
  return error;
}

bool Scheduler::has_runnable() const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [](const GroupRef& group) { return group->runnable(); });
}

Scheduler::GroupRef Scheduler::runnable_group() {
  for (size_t i = 0; i < pending_.size(); i++) {
    const size_t index = (turn_ + i) % pending_.size();
    if (pending_[index]->runnable()) {
      turn_ = index + 1;  // the next call's turn
      return pending_[index];
    }
  }
  return nullptr;
}

// The first of the drains that would meet no other in its place; their number if there is none near
// the front.
size_t Scheduler::Group::uncrowded() const {
  constexpr size_t kLookAt = 32;
  const size_t end = std::min(drains_.size(), kLookAt);
  for (size_t i = 0; i < end; i++) {
    const Place place = drains_[i].place;
    if (place == nullptr || std::find(busy_.begin(), busy_.end(), place) == busy_.end()) return i;
  }
  return drains_.size();
}

Scheduler::Picked Scheduler::pick(Group& group) {
  Picked picked;
  // Decode first, since everything else waits for it, until the drains lie so far behind that slabs
  // would fall out of the cache and the memory budget fill up.
  const size_t backlog = group.drain_backlog();
  bool decode = !group.decodes_.empty() && (group.drains_.empty() || backlog <= group.high_water());
  size_t drain = 0;
  if (!decode) {
    drain = group.uncrowded();
    if (drain == group.drains_.size()) {
      drain = 0;
      decode = !group.decodes_.empty() && backlog <= group.crowd_mark();
    }
  }
  if (decode) {
    std::pop_heap(group.decodes_.begin(), group.decodes_.end());
    picked.task = std::move(group.decodes_.back().task);
    group.decodes_.pop_back();
  } else {
    Group::Drain& chosen = group.drains_[drain];
    if (chosen.counted) group.drain_backlog_.fetch_sub(1, std::memory_order_relaxed);
    picked = {std::move(chosen.task), chosen.place};
    group.drains_.erase(group.drains_.begin() + static_cast<ptrdiff_t>(drain));
    if (picked.place != nullptr) group.busy_.push_back(picked.place);
  }
  if (!group.has_pending()) {
    group.listed_ = false;
    const auto place = std::find_if(pending_.begin(), pending_.end(),
                                    [&](const GroupRef& other) { return other.get() == &group; });
    pending_.erase(place);
  }
  return picked;
}

void* Scheduler::worker_entry(void* argument) {
  const Worker& worker = *static_cast<const Worker*>(argument);
  worker.scheduler->run_worker(worker.number);
  return nullptr;
}

void Scheduler::run_worker(unsigned number) {
  is_worker = true;
  char name[16];
  std::snprintf(name, sizeof name, "oci-unpack-%u", number % 100);
  ::pthread_setname_np(::pthread_self(), name);
  // The umask belongs to the fs_struct that all threads share (clone(2), CLONE_FS): with one of our
  // own, files get their exact mode from openat(2), and the host program's umask is left alone.
  const bool own_umask = ::unshare(CLONE_FS) == 0;
  if (own_umask) ::umask(0);

  if (number == 1) grow_descriptor_table();  // while the first one has begun to work

  std::unique_lock lock(mutex_);
  if (!own_umask) umask_private_.store(false, std::memory_order_release);
  ready_++;
  started_.notify_all();
  while (!stopping_) {
    const GroupRef group = runnable_group();
    if (!group) {
      sleeping_++;
      work_.wait(lock);
      sleeping_--;
      continue;
    }
    auto [task, place] = pick(*group);
    group->running_++;
    // Wake-ups are chained: whoever takes a task sees to it that the next one is taken too.
    bool wake = false;
    if (has_runnable()) {
      wake = sleeping_ > 0;
      if (!wake && workers_.size() < target_) start_worker();
    }
    lock.unlock();
    if (wake) work_.notify_one();
    task();
    task.reset();  // what it held is gone before the group may count it as done
    lock.lock();
    group->running_--;
    if (place != nullptr) {
      group->busy_.erase(std::find(group->busy_.begin(), group->busy_.end(), place));
    }
  }
}

void Scheduler::shutdown() {
  const std::lock_guard one_at_a_time(shutdown_mutex_);
  std::vector<GroupRef> dropped;
  std::vector<std::unique_ptr<Worker>> workers;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stopped_ = true;
    dropped.swap(pending_);
    workers.swap(workers_);
  }
  work_.notify_all();
  for (const auto& worker : workers) ::pthread_join(worker->thread, nullptr);
  // Only now: the destructors of the tasks meet no running task. They may post (in vain).
  for (const GroupRef& group : dropped) {
    std::deque<Group::Drain> drains;
    std::vector<Group::Decode> decodes;
    const std::lock_guard lock(mutex_);
    drains.swap(group->drains_);
    decodes.swap(group->decodes_);
    group->listed_ = false;
    for (const Group::Drain& drain : drains) {
      if (drain.counted) group->drain_backlog_.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  const std::lock_guard lock(mutex_);
  stopping_ = false;
  ready_ = 0;
  target_ = 0;
}

unsigned Scheduler::workers() const {
  const std::lock_guard lock(mutex_);
  return static_cast<unsigned>(workers_.size());
}

}  // namespace ociunpack
