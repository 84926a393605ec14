#include "pipeline/slab.h"

#include <cstring>
#include <thread>
#include <vector>

#include "../check.h"

namespace ociunpack {
namespace {

constexpr size_t kBytes = 64 << 10;

TEST(slab_budget_bounds_what_is_handed_out) {
  SlabPool pool(3 * kBytes, kBytes, kBytes);
  std::vector<SlabRef> slabs;
  for (int i = 0; i < 3; i++) slabs.push_back(pool.try_acquire());
  for (const SlabRef& slab : slabs) {
    REQUIRE(static_cast<bool>(slab));
    CHECK_EQ(slab.capacity(), kBytes);
    CHECK_EQ(slab.size(), 0u);
    std::memset(slab.data(), 7, slab.capacity());
  }
  CHECK(!pool.try_acquire());
  CHECK_EQ(pool.in_use(), 3 * kBytes);
  slabs.pop_back();
  CHECK_EQ(pool.in_use(), 2 * kBytes);
  CHECK(static_cast<bool>(pool.try_acquire()));
  slabs.clear();
  CHECK_EQ(pool.in_use(), 0u);
  CHECK_EQ(pool.kept_free(), kBytes);  // the rest went back to the kernel
  CHECK_EQ(pool.peak_in_use(), 3 * kBytes);
}

TEST(slab_is_recycled_last_in_first_out_and_empty) {
  SlabPool pool(4 * kBytes, kBytes, 4 * kBytes);
  SlabRef a = pool.try_acquire();
  SlabRef b = pool.try_acquire();
  a.set_size(10);
  uint8_t* const data = a.data();
  b.reset();
  a.reset();
  const SlabRef again = pool.try_acquire();
  CHECK(again.data() == data);
  CHECK_EQ(again.size(), 0u);
}

TEST(slab_lives_as_long_as_its_last_reference) {
  SlabPool pool(kBytes, kBytes);
  SlabRef a = pool.try_acquire();
  SlabRef b = a;
  SlabRef c = std::move(a);
  CHECK(!a);  // NOLINT: moved from, and defined to be empty
  b.reset();
  CHECK(!pool.try_acquire());
  c = SlabRef();
  CHECK(static_cast<bool>(pool.try_acquire()));
}

TEST(slab_waiters_are_served_in_order_and_none_is_lost) {
  SlabPool pool(kBytes, kBytes);
  SlabRef only = pool.try_acquire();
  std::vector<int> order;
  SlabRef kept;
  pool.when_available([&](SlabRef) { order.push_back(1); });  // does not want it: drops it
  pool.when_available([&](SlabRef slab) {
    order.push_back(2);
    kept = std::move(slab);
  });
  pool.when_available([&](SlabRef) { order.push_back(3); });
  CHECK(order.empty());
  only.reset();
  CHECK_EQ(order.size(), 2u);
  CHECK_EQ(order[0], 1);
  CHECK_EQ(order[1], 2);
  CHECK(static_cast<bool>(kept));
  CHECK(!pool.try_acquire());  // another one waits
  kept.reset();
  CHECK_EQ(order.size(), 3u);
  CHECK_EQ(pool.in_use(), 0u);
}

TEST(slab_when_available_calls_at_once_when_there_is_one) {
  SlabPool pool(kBytes, kBytes);
  bool called = false;
  pool.when_available([&](SlabRef slab) { called = static_cast<bool>(slab); });
  CHECK(called);
}

TEST(slab_budget_can_change) {
  SlabPool pool(kBytes, kBytes);
  SlabRef a = pool.try_acquire();
  SlabRef b;
  pool.when_available([&](SlabRef slab) { b = std::move(slab); });
  pool.set_budget(2 * kBytes);
  CHECK(static_cast<bool>(b));
  SlabRef c;
  pool.when_available([&](SlabRef slab) { c = std::move(slab); });
  pool.set_budget(0);  // one slab at least
  a.reset();
  CHECK(!c);  // two are in use and one is allowed: the first that comes back is not handed on
  b.reset();
  CHECK(static_cast<bool>(c));
  CHECK_EQ(pool.budget(), kBytes);
}

TEST(slab_threads_share_a_small_pool) {
  SlabPool pool(4 * kBytes, kBytes, 2 * kBytes);
  constexpr int kRounds = 2000;
  std::atomic<int> served{0};
  auto work = [&] {
    for (int i = 0; i < kRounds; i++) {
      if (SlabRef slab = pool.try_acquire()) {
        slab.data()[0] = static_cast<uint8_t>(i);
        const SlabRef copy = slab;
        served++;
      } else {
        pool.when_available([&](SlabRef late) {
          late.data()[0] = 1;
          served++;
        });
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; i++) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(served.load(), 6 * kRounds);
  CHECK_EQ(pool.in_use(), 0u);
  CHECK(pool.peak_in_use() <= 4 * kBytes);
}

}  // namespace
}  // namespace ociunpack
