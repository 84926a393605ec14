#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "../check.h"
#include "source/source.h"

namespace ociunpack {
namespace {

std::vector<uint8_t> chunk(size_t size, uint8_t value = 'x') {
  return std::vector<uint8_t>(size, value);
}

using Popped = PushSource::Popped;

TEST(push_source_gives_chunks_in_order_and_then_the_end) {
  PushSource source;
  CHECK(source.push(chunk(3, 'a')));
  CHECK(source.push(chunk(0)));  // an empty chunk is no chunk
  CHECK(source.push(chunk(5, 'b')));
  source.end();
  source.push(chunk(4, 'c'));  // after the end: dropped
  CHECK_EQ(source.queued_bytes(), 8u);
  auto popped = source.pop();
  REQUIRE_OK(popped);
  CHECK_EQ(popped.value().kind, Popped::kChunk);
  CHECK_EQ(popped.value().chunk.bytes.size(), 3u);
  CHECK_EQ(popped.value().chunk.bytes[0], 'a');
  popped = source.pop();
  REQUIRE_OK(popped);
  CHECK_EQ(popped.value().chunk.bytes.size(), 5u);
  for (int i = 0; i < 2; i++) {
    popped = source.pop();
    REQUIRE_OK(popped);
    CHECK_EQ(popped.value().kind, Popped::kEnd);
  }
}

TEST(push_source_fails_after_what_was_pushed) {
  PushSource source;
  source.push(chunk(3));
  source.fail(input_error(Code::ERR_IO, "fetch", "http://x", "connection reset"));
  source.end();  // the first end counts
  CHECK_OK(source.pop());
  for (int i = 0; i < 2; i++) {
    const auto popped = source.pop();
    CHECK_ERROR(popped, ERR_IO);
    CHECK_EQ(popped.error().detail, "connection reset");
  }
}

TEST(push_source_tells_when_it_is_readable) {
  PushSource source;
  int readable = 0;
  source.on_readable([&] { readable++; });
  source.push(chunk(1));
  CHECK_EQ(readable, 0);  // nobody had asked
  CHECK_OK(source.pop());
  auto popped = source.pop();
  REQUIRE_OK(popped);
  CHECK_EQ(popped.value().kind, Popped::kNothingYet);
  source.push(chunk(1));
  source.push(chunk(1));
  CHECK_EQ(readable, 1);
  CHECK_OK(source.pop());
  CHECK_OK(source.pop());
  CHECK_OK(source.pop());
  source.end();
  CHECK_EQ(readable, 2);
}

TEST(push_source_holds_the_producer_back) {
  PushSource source(10);
  int drained = 0;
  source.on_drained([&] { drained++; });
  CHECK(source.push(chunk(4)));
  CHECK(source.push(chunk(4)));
  CHECK(!source.push(chunk(4)));  // taken, but no more please
  CHECK(!source.push(chunk(1)));
  CHECK_OK(source.pop());
  CHECK_EQ(drained, 0);
  CHECK_OK(source.pop());  // 5 are left: half
  CHECK_EQ(drained, 1);
  CHECK_OK(source.pop());
  CHECK_OK(source.pop());
  CHECK_EQ(drained, 1);
  CHECK(source.push(chunk(1)));
}

TEST(push_source_close_lets_everybody_go) {
  auto owner = std::make_shared<int>(7);
  const uint8_t byte = 1;
  auto source = std::make_shared<PushSource>(1);
  int drained = 0;
  source->on_drained([&drained, source] { drained++; });  // a cycle, broken by close()
  source->on_readable([source] {});
  CHECK(!source->push(Chunk({&byte, 1}, owner)));
  CHECK_EQ(owner.use_count(), 2);
  source->close();
  CHECK_EQ(drained, 1);
  CHECK_EQ(owner.use_count(), 1);
  CHECK_EQ(source.use_count(), 1);
  CHECK(source->push(chunk(5)));  // dropped
  CHECK_EQ(source->queued_bytes(), 0u);
  auto popped = source->pop();
  REQUIRE_OK(popped);
  CHECK_EQ(popped.value().kind, Popped::kEnd);
}

TEST(push_source_between_two_threads) {
  PushSource source(1000);
  std::mutex mutex;
  std::condition_variable changed;
  bool readable = false;
  bool drained = false;
  source.on_readable([&] {
    const std::lock_guard lock(mutex);
    readable = true;
    changed.notify_all();
  });
  source.on_drained([&] {
    const std::lock_guard lock(mutex);
    drained = true;
    changed.notify_all();
  });
  constexpr size_t kChunks = 5000;
  std::thread producer([&] {
    for (size_t i = 0; i < kChunks; i++) {
      if (!source.push(chunk(1 + i % 300, static_cast<uint8_t>(i)))) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return drained; });
        drained = false;
      }
    }
    source.end();
  });
  size_t count = 0;
  bool in_order = true;
  while (true) {
    auto popped = source.pop();
    REQUIRE_OK(popped);
    if (popped.value().kind == Popped::kEnd) break;
    if (popped.value().kind == Popped::kNothingYet) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return readable; });
      readable = false;
      continue;
    }
    const auto bytes = popped.value().chunk.bytes;
    in_order =
        in_order && bytes.size() == 1 + count % 300 && bytes[0] == static_cast<uint8_t>(count);
    count++;
  }
  producer.join();
  CHECK_EQ(count, kChunks);
  CHECK(in_order);
}

}  // namespace
}  // namespace ociunpack
