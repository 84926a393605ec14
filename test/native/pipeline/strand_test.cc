#include "pipeline/strand.h"

#include <atomic>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "../check.h"

namespace ociunpack {
namespace {

TEST(strand_runs_in_order_and_never_twice_at_once) {
  Scheduler scheduler;
  auto group = scheduler.make_group(4);
  REQUIRE_OK(group);
  constexpr int kStrands = 5;
  constexpr int kTasks = 2000;
  struct Line {
    std::unique_ptr<Strand> strand;
    int next = 0;  // guarded by the strand alone: ThreadSanitizer sees if that does not hold
    bool in_order = true;
  };
  std::vector<Line> lines(kStrands);
  std::latch done(kStrands * kTasks);
  for (int i = 0; i < kStrands; i++) {
    lines[i].strand = std::make_unique<Strand>(scheduler, group.value(),
                                               i % 2 ? TaskClass::kDrain : TaskClass::kDecode, i);
  }
  for (int n = 0; n < kTasks; n++) {
    for (Line& line : lines) {
      line.strand->post([&line, &done, n] {
        line.in_order = line.in_order && line.next == n;
        line.next++;
        done.count_down();
      });
    }
  }
  done.wait();
  for (const Line& line : lines) {
    CHECK(line.in_order);
    CHECK_EQ(line.next, kTasks);
    CHECK_EQ(line.strand->queued(), 0u);
  }
}

TEST(strand_takes_posts_from_many_threads_and_from_itself) {
  Scheduler scheduler;
  auto group = scheduler.make_group(3);
  REQUIRE_OK(group);
  Strand strand(scheduler, group.value(), TaskClass::kDrain);
  int count = 0;
  std::latch done(4 * 500 * 2);
  auto post = [&] {
    for (int i = 0; i < 500; i++) {
      strand.post([&] {
        count++;
        strand.post([&] {
          count++;
          done.count_down();
        });
        done.count_down();
      });
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) threads.emplace_back(post);
  for (std::thread& thread : threads) thread.join();
  done.wait();
  CHECK_EQ(count, 4000);
}

TEST(strand_may_be_destroyed_by_its_own_task_and_with_tasks_in_its_queue) {
  Scheduler scheduler;
  auto group = scheduler.make_group(2);
  REQUIRE_OK(group);
  for (int round = 0; round < 200; round++) {
    auto strand = std::make_shared<Strand>(scheduler, group.value(), TaskClass::kDecode);
    Strand* const raw = strand.get();
    std::latch done(2);
    raw->post([owner = std::move(strand), &done]() mutable {
      owner->post([&done] { done.count_down(); });
      owner.reset();
      done.count_down();
    });
    done.wait();
  }
}

}  // namespace
}  // namespace ociunpack
