#include "pipeline/strand.h"

#include <atomic>
#include <utility>

namespace ociunpack {
namespace {

// Tasks that one turn of a strand may run before others get the worker. A decode strand gives way
// after each, so that the scheduler's high-water rule is asked for every slab.
constexpr int kDrainTurn = 4;
constexpr int kDecodeTurn = 1;

}  // namespace

struct Strand::State {
  State(Scheduler& scheduler, Scheduler::GroupRef group, TaskClass task_class, uint64_t weight)
      : scheduler(scheduler), group(std::move(group)), task_class(task_class), weight(weight) {}

  Scheduler& scheduler;
  const Scheduler::GroupRef group;
  const TaskClass task_class;
  const uint64_t weight;
  mutable std::mutex mutex;
  std::deque<Task> queue;
  bool active = false;  // a pump is in the scheduler, or runs

  // A strand's queue counts as drain work that waits: a long queue behind one pump is a backlog
  // too.
  void count(size_t tasks) const {
    if (task_class == TaskClass::kDrain) {
      group->drain_backlog_.fetch_add(tasks, std::memory_order_relaxed);
    }
  }
  void uncount(size_t tasks) const {
    if (task_class == TaskClass::kDrain) {
      group->drain_backlog_.fetch_sub(tasks, std::memory_order_relaxed);
    }
  }
};

// The strand's task in the scheduler. If it is destroyed unrun (shutdown), the queue goes with it:
// tasks may hold what holds the strand, and would keep each other alive for ever.
class Strand::Pump {
 public:
  explicit Pump(std::shared_ptr<State> state) : state_(std::move(state)) {}
  Pump(Pump&&) noexcept = default;
  Pump& operator=(Pump&&) = delete;
  ~Pump() {
    if (!state_) return;
    std::deque<Task> dropped;
    const std::lock_guard lock(state_->mutex);
    dropped.swap(state_->queue);
    state_->active = false;
    state_->uncount(dropped.size());
  }
  void operator()() { pump(std::exchange(state_, nullptr)); }

 private:
  std::shared_ptr<State> state_;
};

Strand::Strand(Scheduler& scheduler, Scheduler::GroupRef group, TaskClass task_class,
               uint64_t weight)
    : state_(std::make_shared<State>(scheduler, std::move(group), task_class, weight)) {}

void Strand::post(Task task) {
  // A copy: the task may run, and destroy this strand, before we are done.
  const std::shared_ptr<State> state = state_;
  {
    const std::lock_guard lock(state->mutex);
    state->queue.push_back(std::move(task));
    state->count(1);
    if (std::exchange(state->active, true)) return;
  }
  schedule(state);
}

void Strand::schedule(std::shared_ptr<State> state) {
  Scheduler& scheduler = state->scheduler;
  const Scheduler::GroupRef group = state->group;
  const TaskClass task_class = state->task_class;
  const uint64_t weight = state->weight;
  scheduler.enqueue(group, task_class, Pump(std::move(state)), weight, false);
}

void Strand::pump(std::shared_ptr<State> state) {
  const int turn = state->task_class == TaskClass::kDecode ? kDecodeTurn : kDrainTurn;
  for (int done = 0;; done++) {
    Task task;
    {
      const std::lock_guard lock(state->mutex);
      if (state->queue.empty()) {
        state->active = false;
        return;
      }
      if (done == turn) break;
      task = std::move(state->queue.front());
      state->queue.pop_front();
    }
    state->uncount(1);
    task();
  }
  schedule(std::move(state));
}

size_t Strand::queued() const {
  const std::lock_guard lock(state_->mutex);
  return state_->queue.size();
}

}  // namespace ociunpack
