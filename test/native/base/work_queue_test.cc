// WorkQueue: its order with one thread, its bounds and its end with several.
#include "base/work_queue.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "../check.h"

namespace ociunpack {
namespace {

Error failure(const std::string& path) {
  return input_error(Code::ERR_IO, "work", path, "it has failed");
}

// Threads of this process; one that has been joined may still be among them for a moment.
size_t thread_count() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

TEST(work_that_leads_to_more_is_done_on_any_number_of_threads) {
  for (const unsigned threads : {0U, 1U, 2U, 8U, 1000U}) {
    WorkQueue queue;
    std::atomic<int> done{0};
    std::mutex mutex;
    std::set<std::thread::id> ids;
    std::function<void(int)> visit = [&](int depth) {
      ++done;
      {
        const std::lock_guard lock(mutex);
        ids.insert(std::this_thread::get_id());
      }
      for (int i = 0; i < 3 && depth < 7; ++i) {
        if (i == 0 && queue.has_room()) {
          queue.add_open([&visit, depth] { visit(depth + 1); });
        } else {
          queue.add([&visit, depth] { visit(depth + 1); });
        }
      }
    };
    CHECK_OK(queue.run(threads, [&] { visit(0); }));
    CHECK_EQ(done.load(), 3280);  // 3^0 + ... + 3^7
    CHECK(ids.size() >= 1 && ids.size() <= std::clamp(threads, 1U, 64U));
  }
}

TEST(open_work_goes_first_and_the_oldest_of_it_then_the_newest_of_the_rest) {
  WorkQueue queue;
  std::string order;
  CHECK_OK(queue.run(1, [&] {
    queue.add([&] { order += 'a'; });
    queue.add_open([&] { order += '1'; });
    queue.add([&] {
      order += 'b';
      queue.add([&] { order += 'd'; });
      queue.add_open([&] { order += '3'; });
    });
    queue.add_open([&] { order += '2'; });
    order += '0';
  }));
  CHECK_EQ(order, "012b3da");
}

TEST(there_is_no_room_for_open_work_with_one_thread) {
  WorkQueue queue;
  bool asked = false;
  CHECK_OK(queue.run(1, [&] {
    asked = true;
    CHECK(!queue.has_room());
  }));
  CHECK(asked);
}

TEST(there_is_no_room_for_open_work_when_enough_waits) {
  WorkQueue queue;
  std::latch other_is_busy{1};
  std::latch enough{1};
  std::atomic<int> done{0};
  int waiting = 0;
  CHECK_OK(queue.run(2, [&] {
    CHECK(queue.has_room());
    queue.add_open([&] {
      other_is_busy.count_down();
      enough.wait();
    });
    other_is_busy.wait();
    for (; queue.has_room(); ++waiting) queue.add_open([&] { ++done; });
    enough.count_down();
  }));
  CHECK_EQ(waiting, 8);
  CHECK_EQ(done.load(), waiting);
}

TEST(other_threads_start_as_work_is_added_for_them) {
  WorkQueue queue;
  std::latch one_is_there{1};
  std::latch two_are_there{3};  // the caller's thread as well
  std::latch enough{1};
  const size_t before = thread_count();
  CHECK_OK(queue.run(3, [&] {
    CHECK(thread_count() <= before);
    queue.add([&] {
      one_is_there.count_down();
      two_are_there.arrive_and_wait();
    });
    one_is_there.wait();
    CHECK(thread_count() <= before + 1);
    queue.add([&] { two_are_there.arrive_and_wait(); });
    two_are_there.arrive_and_wait();
    for (int i = 0; i < 5; ++i) queue.add([&] { enough.wait(); });
    CHECK(thread_count() <= before + 2);
    enough.count_down();
  }));
}

TEST(the_first_failure_ends_the_work) {
  for (const unsigned threads : {1U, 4U}) {
    WorkQueue queue;
    std::atomic<bool> too_late{false};
    const Status status = queue.run(threads, [&] {
      CHECK(!queue.failed());
      queue.fail(failure("first"));
      CHECK(queue.failed());
      queue.fail(failure("second"));
      queue.add([&] { too_late = true; });
      queue.add_open([&] { too_late = true; });
    });
    REQUIRE(!status.ok());
    CHECK_EQ(status.error().path, "first");
    CHECK(!too_late);
  }
}

TEST(a_failure_ends_what_waits_and_wakes_who_waits) {
  auto held = std::make_shared<int>();
  {
    WorkQueue queue;
    std::latch failed{1};
    std::atomic<int> done{0};
    const Status status = queue.run(8, [&] {
      for (int i = 0; i < 8; ++i) {  // one for each other thread, and one that waits
        queue.add_open([&, held] {
          failed.wait();
          ++done;
        });
      }
      queue.fail(failure("x"));
      failed.count_down();
    });
    CHECK_ERROR(status, ERR_IO);
    CHECK(done <= 7);
  }
  CHECK_EQ(held.use_count(), 1);  // what was not done is let go of
}

TEST(the_callers_thread_does_everything_where_no_other_starts) {
  pthread_attr_t before;
  pthread_attr_t attributes;
  REQUIRE(::pthread_getattr_default_np(&before) == 0 && ::pthread_attr_init(&attributes) == 0);
  // No address space has room for such a stack.
  CHECK_EQ(::pthread_attr_setstacksize(&attributes, size_t{1} << 60), 0);
  CHECK_EQ(::pthread_setattr_default_np(&attributes), 0);
  WorkQueue queue;
  const std::thread::id caller = std::this_thread::get_id();
  int done = 0;
  CHECK_OK(queue.run(4, [&] {
    for (int i = 0; i < 10; ++i) {
      queue.add([&] {
        CHECK(std::this_thread::get_id() == caller);
        ++done;
      });
      CHECK(!queue.has_room());
    }
  }));
  CHECK_EQ(done, 10);
  CHECK_EQ(::pthread_setattr_default_np(&before), 0);
}

}  // namespace
}  // namespace ociunpack
