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

TEST(push_source_gathers_what_is_appended) {
  constexpr size_t kBlock = 256 << 10;
  PushSource source(3 * kBlock);
  const auto piece = chunk(100 << 10, 'a');
  CHECK(source.append(piece));
  CHECK(source.append(piece));
  CHECK(source.append({}));
  CHECK(source.append(piece));  // over the end of the first block
  CHECK_EQ(source.queued_bytes(), 300u << 10);
  auto first = source.pop();
  REQUIRE_OK(first);
  CHECK_EQ(first.value().chunk.bytes.size(), kBlock);
  auto rest = source.pop();  // what there is of the second one
  REQUIRE_OK(rest);
  CHECK_EQ(rest.value().chunk.bytes.size(), (300u << 10) - kBlock);
  CHECK_EQ(source.queued_bytes(), 0u);
  CHECK(source.append(chunk(10, 'b')));  // behind it, in the same block
  CHECK(source.push(chunk(5, 'c')));
  CHECK(source.append(chunk(7, 'd')));
  source.end();
  for (const auto& [size, value] : {std::pair<size_t, char>{10, 'b'}, {5, 'c'}, {7, 'd'}}) {
    auto popped = source.pop();
    REQUIRE_OK(popped);
    CHECK_EQ(popped.value().chunk.bytes.size(), size);
    CHECK_EQ(popped.value().chunk.bytes[0], value);
  }
  CHECK_EQ(rest.value().chunk.bytes[0], 'a');
  auto popped = source.pop();
  REQUIRE_OK(popped);
  CHECK_EQ(popped.value().kind, Popped::kEnd);
}

TEST(push_source_appends_at_once_for_who_waits) {
  PushSource source(300 << 10);
  int readable = 0;
  int drained = 0;
  source.on_readable([&] { readable++; });
  source.on_drained([&] { drained++; });
  auto popped = source.pop();
  REQUIRE_OK(popped);
  CHECK_EQ(popped.value().kind, Popped::kNothingYet);
  CHECK(source.append(chunk(1)));
  CHECK_EQ(readable, 1);
  CHECK(!source.append(chunk(300 << 10)));
  popped = source.pop();
  REQUIRE_OK(popped);
  CHECK_EQ(drained, 1);
  source.close();
  CHECK_EQ(source.queued_bytes(), 0u);
  CHECK(source.append(chunk(5)));  // dropped
  CHECK_EQ(readable, 1);
  // A chunk outlives its source.
  auto owner = std::make_unique<PushSource>();
  owner->append(chunk(9, 'z'));
  popped = owner->pop();
  owner.reset();
  REQUIRE_OK(popped);
  CHECK_EQ(popped.value().chunk.bytes[8], 'z');
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
  const auto value_at = [](size_t position) { return static_cast<uint8_t>(position % 251); };
  std::thread producer([&] {
    for (size_t i = 0, at = 0; i < kChunks; i++) {
      auto piece = chunk(1 + i % 300);
      for (uint8_t& byte : piece) byte = value_at(at++);
      if (!(i % 3 == 0 ? source.push(piece) : source.append(piece))) {
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
    for (const uint8_t byte : popped.value().chunk.bytes) {
      in_order = in_order && byte == value_at(count++);
    }
  }
  producer.join();
  size_t pushed = 0;
  for (size_t i = 0; i < kChunks; i++) pushed += 1 + i % 300;
  CHECK_EQ(count, pushed);
  CHECK(in_order);
}

}  // namespace
}  // namespace ociunpack
