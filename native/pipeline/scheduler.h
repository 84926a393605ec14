// Scheduler: the one pool of worker threads of the process. Every unpack call has a Group, which
// bounds how many of its tasks run at once; calls take turns, within a call see pick() for the
// rule. Why it is fast enough: a task is a slab's worth of work (100 us and more), the lock is held
// for less than a microsecond, and a post wakes one sleeper at most. Tasks never block on other
// tasks.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "pipeline/task.h"

namespace ociunpack {

// kDecode makes work (read, decode, parse), kDrain uses it up (hash, write).
enum class TaskClass : uint8_t { kDrain, kDecode };

class Scheduler {
 public:
  static constexpr unsigned kMaxWorkers = 64;
  // Where a drain writes, if most of it goes to one place: the directory. Two that create in the
  // same directory at once wait for each other in the kernel (i_rwsem), spinning: such a task comes
  // after what waits beside it, while another one of its place runs. Only compared.
  using Place = const void*;
  // Tasks that one slab gives to the drains: its hash and its batch of writes.
  static constexpr size_t kDrainTasksPerSlab = 2;
  // Group::flood_mark() is at least this: 64 slabs, 16 MiB.
  static constexpr size_t kFloodTasks = 64 * kDrainTasksPerSlab;

  // The tasks of one unpack call. Any thread; shared by all that post to it.
  class Group {
   public:
    unsigned concurrency() const { return concurrency_; }
    // Drain tasks that wait, those in the queues of strands included.
    size_t drain_backlog() const { return drain_backlog_.load(std::memory_order_relaxed); }
    // More drain work than this waiting: drains go before decodes. Two slabs' worth for each
    // worker.
    size_t high_water() const { return size_t{2} * kDrainTasksPerSlab * concurrency_; }
    // Writers to a place that another one writes to give way to decodes until more than this waits:
    // what lies further behind has left the caches.
    size_t crowd_mark() const { return std::min(4 * high_water(), flood_mark()); }
    // More than this waiting: no decodes, even where a worker has nothing else to do. One strand
    // that is slower than all decoding (a large file on a slow disk) would gather the whole memory
    // budget behind it, and win nothing.
    size_t flood_mark() const { return std::max(kFloodTasks, 2 * high_water()); }

   private:
    friend class Scheduler;
    friend class Strand;
    friend class HashQueue;
    struct Drain {
      Task task;
      bool counted;  // in drain_backlog_; strands and hash queues count for themselves
      Place place;
    };
    struct Decode {
      uint64_t weight;
      uint64_t sequence;
      Task task;
      bool operator<(const Decode& other) const {
        return weight != other.weight ? weight < other.weight : sequence > other.sequence;
      }
    };
    explicit Group(unsigned concurrency) : concurrency_(concurrency) {}
    size_t uncrowded() const;
    bool has_pending() const { return !drains_.empty() || !decodes_.empty(); }
    bool runnable() const {
      return running_ < concurrency_ &&
             (!drains_.empty() || (!decodes_.empty() && drain_backlog() <= flood_mark()));
    }

    const unsigned concurrency_;
    std::atomic<size_t> drain_backlog_{0};
    // Guarded by the scheduler's mutex.
    unsigned running_ = 0;
    std::vector<Place> busy_;      // places of the drains that run
    bool listed_ = false;          // in Scheduler::pending_
    std::deque<Drain> drains_;     // in order
    std::vector<Decode> decodes_;  // a heap: heaviest first, then in order
  };
  using GroupRef = std::shared_ptr<Group>;

  // The scheduler of the process; never destroyed, made on first use.
  static Scheduler& instance();

  // A user (a Node environment) comes and goes; the last release() shuts down. The next use after
  // that starts the workers again.
  static void retain();
  static void release();

  Scheduler() = default;
  ~Scheduler() { shutdown(); }
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // At most `concurrency` tasks of the group run at once (0: as many as there are CPUs for us; at
  // most kMaxWorkers). The pool may grow to that many workers; they start as work comes. Fails only
  // when not even one worker thread can be started.
  Result<GroupRef> make_group(unsigned concurrency);

  // Queues a task; any thread. Heavier decodes go first (weight: compressed bytes of the layer).
  // While the scheduler is shutting down the task is destroyed unrun.
  void post(const GroupRef& group, TaskClass task_class, Task task, uint64_t weight = 0);
  // Queues a drain that writes to `place` (null: nowhere in particular).
  void post_to(Place place, const GroupRef& group, Task task);

  // Destroys what is queued, waits for the tasks that run, joins the workers. Idempotent; not from
  // a worker. A later make_group() starts anew; posts in between are destroyed.
  void shutdown();

  // Worker threads that are running now, and the number that a group of concurrency 0 may use.
  unsigned workers() const;
  static unsigned default_concurrency();

  // Whether the workers have a umask of their own, which is 0 (unshare(2) of CLONE_FS, which some
  // seccomp profiles refuse). Known once a group has been made. If false, chmod what you create.
  bool umask_private() const { return umask_private_.load(std::memory_order_acquire); }

  // Whether the calling thread is a worker of a scheduler.
  static bool on_worker();

 private:
  friend class Strand;
  friend class HashQueue;
  struct Worker {
    Scheduler* scheduler;
    unsigned number;
    pthread_t thread;
  };

  struct Picked {
    Task task;
    Place place = nullptr;
  };

  void enqueue(const GroupRef& group, TaskClass task_class, Task task, uint64_t weight,
               bool counted, Place place = nullptr);

  // All of these hold mutex_.
  int start_worker();  // 0 or the errno of pthread_create(3)
  bool has_runnable() const;
  GroupRef runnable_group();
  Picked pick(Group& group);

  static void* worker_entry(void* worker);
  void run_worker(unsigned number);

  mutable std::mutex mutex_;
  std::mutex shutdown_mutex_;  // one shutdown() at a time; taken before mutex_
  std::condition_variable work_;
  std::condition_variable started_;
  std::vector<std::unique_ptr<Worker>> workers_;
  unsigned ready_ = 0;  // workers that have set themselves up
  unsigned sleeping_ = 0;
  unsigned target_ = 0;  // workers we may start
  bool stopping_ = false;
  bool stopped_ = false;           // shut down, and no group made since
  std::vector<GroupRef> pending_;  // groups with tasks that wait
  size_t turn_ = 0;                // the group in pending_ to look at first
  uint64_t sequence_ = 0;
  std::atomic<bool> umask_private_{true};
};

}  // namespace ociunpack
