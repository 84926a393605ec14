#include "pipeline/scheduler.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <latch>
#include <mutex>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "../check.h"
#include "pipeline/strand.h"

namespace ociunpack {
namespace {

using namespace std::chrono_literals;

constexpr TaskClass kDrain = TaskClass::kDrain;
constexpr TaskClass kDecode = TaskClass::kDecode;

// Holds one worker until opened.
struct Gate {
  std::binary_semaphore entered{0};
  std::binary_semaphore open{0};
  auto task() {
    return [this] {
      entered.release();
      open.acquire();
    };
  }
};

TEST(task_keeps_small_and_large_captures_and_destroys_them_once) {
  auto counter = std::make_shared<int>(0);
  {
    Task small([counter] { ++*counter; });
    std::array<char, 200> ballast{};
    Task large([counter, ballast] { *counter += 10 + ballast[0]; });
    Task moved = std::move(small);
    CHECK(!small);  // NOLINT: moved from, and defined to be empty
    moved();
    small = std::move(large);
    small();
    Task unrun([counter] { *counter = 99; });
    unrun = Task();
  }
  CHECK_EQ(*counter, 11);
  CHECK_EQ(counter.use_count(), 1);
  auto only_movable = std::make_unique<int>(5);
  int seen = 0;
  Task task([owned = std::move(only_movable), &seen] { seen = *owned; });
  task();
  CHECK_EQ(seen, 5);
}

TEST(scheduler_runs_everything_and_never_exceeds_the_bound) {
  Scheduler scheduler;
  for (const unsigned bound : {1u, 2u, 3u, 8u}) {
    auto group = scheduler.make_group(bound);
    REQUIRE_OK(group);
    constexpr int kTasks = 3000;
    std::latch done(kTasks);
    std::atomic<unsigned> running{0};
    std::atomic<unsigned> most{0};
    for (int i = 0; i < kTasks; i++) {
      scheduler.post(
          group.value(), i % 3 ? kDrain : kDecode,
          [&] {
            const unsigned now = ++running;
            unsigned seen = most.load();
            while (now > seen && !most.compare_exchange_weak(seen, now)) {
            }
            running--;
            done.count_down();
          },
          i);
    }
    done.wait();
    CHECK(most.load() <= bound);
    CHECK_EQ(group.value()->drain_backlog(), 0u);
  }
  CHECK(scheduler.workers() <= std::max(8u, Scheduler::default_concurrency()));
}

TEST(scheduler_reaches_its_bound) {
  Scheduler scheduler;
  auto group = scheduler.make_group(6);
  REQUIRE_OK(group);
  std::latch all_in(6);
  std::latch done(6);
  for (int i = 0; i < 6; i++) {
    scheduler.post(group.value(), kDrain, [&] {
      all_in.arrive_and_wait();  // returns only if six run at once
      done.count_down();
    });
  }
  done.wait();
  CHECK_EQ(scheduler.workers(), std::max(6u, scheduler.workers()));
}

TEST(scheduler_takes_decodes_first_the_heaviest_first) {
  Scheduler scheduler;
  auto group = scheduler.make_group(1);
  REQUIRE_OK(group);
  Gate gate;
  scheduler.post(group.value(), kDrain, gate.task());
  gate.entered.acquire();
  std::string order;
  std::latch done(6);
  auto note = [&](char c) {
    return [&order, &done, c] {
      order += c;
      done.count_down();
    };
  };
  scheduler.post(group.value(), kDrain, note('x'));
  scheduler.post(group.value(), kDecode, note('a'), 10);
  scheduler.post(group.value(), kDecode, note('b'), 30);
  scheduler.post(group.value(), kDecode, note('c'), 30);
  scheduler.post(group.value(), kDecode, note('d'), 20);
  scheduler.post(group.value(), kDrain, note('y'));
  gate.open.release();
  done.wait();
  CHECK_EQ(order, "bcdaxy");
}

TEST(scheduler_drains_first_above_the_high_water_mark) {
  Scheduler scheduler;
  auto group = scheduler.make_group(1);
  REQUIRE_OK(group);
  Gate gate;
  scheduler.post(group.value(), kDrain, gate.task());
  gate.entered.acquire();
  const size_t high = group.value()->high_water();
  std::string order;
  std::latch done(static_cast<ptrdiff_t>(high) + 3);
  scheduler.post(group.value(), kDecode, [&] { order += 'D', done.count_down(); });
  for (size_t i = 0; i < high + 2; i++) {
    scheduler.post(group.value(), kDrain, [&] { order += '.', done.count_down(); });
  }
  CHECK_EQ(group.value()->drain_backlog(), high + 2);
  gate.open.release();
  done.wait();
  CHECK_EQ(order, "..D" + std::string(high, '.'));
}

// Two workers: one is in `here`, the other is held while tasks are queued.
struct CrowdedPlace {
  Scheduler scheduler;
  Scheduler::GroupRef group = scheduler.make_group(2).value();
  int here = 0, elsewhere = 0;
  Gate inside, other;
  std::mutex mutex;
  std::string order;
  CrowdedPlace() {
    scheduler.post_to(&here, group, inside.task());
    inside.entered.acquire();
    scheduler.post(group, kDrain, other.task());
    other.entered.acquire();
  }
  auto note(char name, std::latch* done) {
    return [this, name, done] {
      {
        const std::lock_guard lock(mutex);
        order += name;
      }
      done->count_down();
    };
  }
};

TEST(scheduler_lets_a_writer_to_a_busy_place_wait_for_what_is_beside_it) {
  CrowdedPlace crowd;
  std::latch done(4);
  crowd.scheduler.post_to(&crowd.here, crowd.group, crowd.note('h', &done));
  crowd.scheduler.post_to(&crowd.elsewhere, crowd.group, crowd.note('e', &done));
  crowd.scheduler.post(crowd.group, kDrain, crowd.note('n', &done));
  crowd.scheduler.post(crowd.group, kDecode, crowd.note('D', &done));
  crowd.other.open.release();
  done.wait();  // the one in the same place too: better two in it than an idle worker
  CHECK_EQ(crowd.order, "Denh");
  crowd.inside.open.release();
}

TEST(scheduler_decodes_up_to_the_crowd_mark_before_two_write_to_one_place) {
  CrowdedPlace crowd;
  const size_t waiting = crowd.group->crowd_mark() + 1;
  CHECK(waiting > crowd.group->high_water() + 1);
  std::latch done(static_cast<ptrdiff_t>(waiting) + 1);
  for (size_t i = 0; i < waiting; i++) {
    crowd.scheduler.post_to(&crowd.here, crowd.group, crowd.note('.', &done));
  }
  crowd.scheduler.post(crowd.group, kDecode, crowd.note('D', &done));
  crowd.other.open.release();
  done.wait();
  CHECK_EQ(crowd.order, ".D" + std::string(waiting - 1, '.'));
  crowd.inside.open.release();
}

TEST(scheduler_frees_a_place_when_its_writer_ends) {
  Gate again;  // outlives the workers
  CrowdedPlace crowd;
  std::latch ended(1);
  crowd.scheduler.post(crowd.group, kDrain, crowd.note('x', &ended));
  crowd.inside.open.release();  // its worker takes x
  ended.wait();
  std::latch done(2);
  crowd.scheduler.post_to(&crowd.elsewhere, crowd.group, again.task());
  again.entered.acquire();
  crowd.scheduler.post_to(&crowd.here, crowd.group, crowd.note('h', &done));
  crowd.scheduler.post(crowd.group, kDrain, crowd.note('n', &done));
  crowd.other.open.release();
  done.wait();
  CHECK_EQ(crowd.order, "xhn");
  again.open.release();
}

TEST(scheduler_counts_the_queue_of_a_strand_as_backlog) {
  Scheduler scheduler;
  auto group = scheduler.make_group(1);
  REQUIRE_OK(group);
  Gate gate;
  scheduler.post(group.value(), kDrain, gate.task());
  gate.entered.acquire();
  Strand strand(scheduler, group.value(), kDrain);
  const size_t high = group.value()->high_water();
  std::string order;
  std::latch done(static_cast<ptrdiff_t>(high) + 6);
  scheduler.post(group.value(), kDecode, [&] { order += 'D', done.count_down(); });
  for (size_t i = 0; i < high + 5; i++) strand.post([&] { order += '.', done.count_down(); });
  CHECK_EQ(strand.queued(), high + 5);
  CHECK_EQ(group.value()->drain_backlog(), high + 5);
  gate.open.release();
  done.wait();
  CHECK(order.find('D') >= 5);  // the strand had to come down to the mark first
  CHECK(order.find('D') < high + 5);
}

TEST(scheduler_lets_calls_take_turns) {
  Scheduler scheduler;
  auto a = scheduler.make_group(1);
  auto b = scheduler.make_group(1);
  REQUIRE_OK(a);
  REQUIRE_OK(b);
  Gate gate_a;
  Gate gate_b;
  scheduler.post(a.value(), kDrain, gate_a.task());
  scheduler.post(b.value(), kDrain, gate_b.task());
  gate_a.entered.acquire();
  gate_b.entered.acquire();
  std::atomic<int> left_a{200};
  std::atomic<int> a_left_when_b_was_done{-1};
  std::latch done(220);
  for (int i = 0; i < 200; i++) {
    scheduler.post(a.value(), kDecode, [&] {
      std::this_thread::sleep_for(100us);
      left_a--;
      done.count_down();
    });
  }
  std::atomic<int> left_b{20};
  for (int i = 0; i < 20; i++) {
    scheduler.post(b.value(), kDrain, [&] {
      if (--left_b == 0) a_left_when_b_was_done = left_a.load();
      done.count_down();
    });
  }
  gate_a.open.release();
  gate_b.open.release();
  done.wait();
  CHECK(a_left_when_b_was_done.load() > 0);
}

TEST(scheduler_workers_have_their_own_umask_and_no_signals) {
  Scheduler scheduler;
  auto group = scheduler.make_group(1);
  REQUIRE_OK(group);
  const mode_t before = ::umask(022);
  std::latch done(1);
  mode_t inside = 0777;
  sigset_t blocked;
  char name[16] = "";
  bool on_worker = false;
  scheduler.post(group.value(), kDrain, [&] {
    inside = ::umask(0);
    ::umask(inside);
    ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
    on_worker = Scheduler::on_worker();
    done.count_down();
  });
  done.wait();
  const mode_t outside = ::umask(before);
  CHECK_EQ(outside, 022u);
  CHECK(sigismember(&blocked, SIGTERM) == 1);
  CHECK(sigismember(&blocked, SIGCHLD) == 1);
  CHECK_EQ(std::string(name), "oci-unpack-0");
  CHECK(on_worker);
  CHECK(!Scheduler::on_worker());
  if (!scheduler.umask_private()) SKIP("unshare(CLONE_FS) is not allowed here");
  CHECK_EQ(inside, 0u);
}

TEST(scheduler_shutdown_destroys_what_has_not_run_and_can_start_again) {
  Scheduler scheduler;
  auto group = scheduler.make_group(1);
  REQUIRE_OK(group);
  auto witness = std::make_shared<int>(0);
  Gate gate;
  scheduler.post(group.value(), kDrain, gate.task());
  gate.entered.acquire();
  // Tasks that hold the strand they are queued in: dropped all the same.
  auto strand = std::make_shared<Strand>(scheduler, group.value(), kDrain);
  for (int i = 0; i < 10; i++) {
    scheduler.post(group.value(), i % 2 ? kDrain : kDecode, [witness] { ++*witness; });
    strand->post([witness, strand] { ++*witness; });
  }
  std::thread opener([&] {
    std::this_thread::sleep_for(20ms);
    gate.open.release();
  });
  scheduler.shutdown();
  opener.join();
  CHECK_EQ(*witness, 0);
  strand.reset();
  CHECK_EQ(witness.use_count(), 1);
  CHECK_EQ(scheduler.workers(), 0u);
  CHECK_EQ(group.value()->drain_backlog(), 0u);
  scheduler.shutdown();

  scheduler.post(group.value(), kDrain, [witness] { ++*witness; });  // in vain
  CHECK_EQ(witness.use_count(), 1);

  auto again = scheduler.make_group(2);
  REQUIRE_OK(again);
  std::latch done(2);
  scheduler.post(again.value(), kDrain, [&] { done.count_down(); });
  scheduler.post(group.value(), kDrain, [&] { done.count_down(); });  // an old group serves again
  done.wait();
}

TEST(scheduler_of_the_process_stops_with_its_last_user) {
  Scheduler::retain();
  Scheduler::retain();
  Scheduler& scheduler = Scheduler::instance();
  auto group = scheduler.make_group(0);
  REQUIRE_OK(group);
  CHECK(scheduler.workers() >= 1);
  CHECK_EQ(group.value()->concurrency(), Scheduler::default_concurrency());
  Scheduler::release();
  CHECK(scheduler.workers() >= 1);
  Scheduler::release();
  CHECK_EQ(scheduler.workers(), 0u);
}

TEST(scheduler_survives_posts_groups_and_shutdowns_at_once) {
  Scheduler scheduler;
  std::atomic<bool> stop{false};
  std::atomic<int> ran{0};
  std::vector<std::thread> users;
  for (int i = 0; i < 3; i++) {
    users.emplace_back([&, i] {
      while (!stop) {
        auto group = scheduler.make_group(i + 1);
        if (!group.ok()) continue;
        Strand strand(scheduler, group.value(), i == 0 ? kDecode : kDrain);
        for (int n = 0; n < 50; n++) {
          strand.post([&] { ran++; });
          scheduler.post(group.value(), kDrain, [&] { ran++; });
        }
      }
    });
  }
  for (int i = 0; i < 40; i++) {
    std::this_thread::sleep_for(2ms);
    scheduler.shutdown();
  }
  stop = true;
  for (std::thread& user : users) user.join();
  scheduler.shutdown();
  CHECK(ran.load() > 0);
}

}  // namespace
}  // namespace ociunpack
