// Strand: a queue whose tasks run one after the other, in order, on whichever worker is free. What
// a strand's tasks share needs no lock. Cheap: while it has work, one task of it is in the
// scheduler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "pipeline/scheduler.h"
#include "pipeline/task.h"

namespace ociunpack {

class Strand {
 public:
  // `weight` orders decode strands of a group: see Scheduler::post.
  Strand(Scheduler& scheduler, Scheduler::GroupRef group, TaskClass task_class,
         uint64_t weight = 0);

  // Queues a task; any thread. Tasks may hold what holds the strand. A strand that is destroyed
  // with tasks in its queue does not drop them: they still run. If the scheduler shuts down, they
  // are destroyed unrun.
  void post(Task task);

  // Tasks that wait (not the one that runs).
  size_t queued() const;

 private:
  struct State;
  class Pump;
  static void pump(std::shared_ptr<State> state);
  static void schedule(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace ociunpack
