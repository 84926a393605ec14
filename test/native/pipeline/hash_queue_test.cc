#include "pipeline/hash_queue.h"

#include <algorithm>
#include <latch>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../check.h"

namespace ociunpack {
namespace {

Hasher hasher(Hasher::Engine engine = Hasher::Engine::kFastest, const char* algorithm = "sha256") {
  return Hasher::create(algorithm, engine).value();
}

std::string by_openssl(std::span<const uint8_t> bytes, const char* algorithm) {
  Hasher own = hasher(Hasher::Engine::kOpenssl, algorithm);
  own.update(bytes);
  return own.hex();
}

// Streams of different lengths and piece sizes, fed by threads of their own, one of them sha512.
void hash_in_parallel(size_t streams, unsigned concurrency) {
  Scheduler scheduler;
  auto group = scheduler.make_group(concurrency);
  REQUIRE_OK(group);
  struct Line {
    const char* algorithm;
    std::vector<uint8_t> bytes;
    std::unique_ptr<HashStream> stream;
    int next =
        0;  // guarded by the stream's order alone: ThreadSanitizer sees if that does not hold
    bool in_order = true;
  };
  std::vector<Line> lines(streams);
  std::mt19937_64 random(streams * 100 + concurrency);
  for (size_t i = 0; i < streams; i++) {
    lines[i].algorithm = i == 3 ? "sha512" : "sha256";
    lines[i].bytes.resize(random() % (2 << 20));
    for (uint8_t& byte : lines[i].bytes) byte = static_cast<uint8_t>(random());
    lines[i].stream = std::make_unique<HashStream>(
        scheduler, group.value(), hasher(Hasher::Engine::kFastest, lines[i].algorithm));
  }
  std::vector<std::thread> threads;
  std::latch all(static_cast<ptrdiff_t>(streams));
  for (size_t i = 0; i < streams; i++) {
    threads.emplace_back([&line = lines[i], &all, i] {
      std::mt19937_64 sizes(i);
      const size_t most = i % 2 == 0 ? 300'000 : 5'000;
      std::span<const uint8_t> left = line.bytes;
      for (int n = 0; !left.empty(); n++) {
        const size_t size = std::min<size_t>(sizes() % most, left.size());
        line.stream->add(left.first(size), [&line, n] {
          line.in_order = line.in_order && line.next == n;
          line.next++;
        });
        left = left.subspan(size);
      }
      line.stream->add({}, [&all] { all.count_down(); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  all.wait();
  for (Line& line : lines) {
    CHECK(line.in_order);
    CHECK_EQ(line.stream->finish().hex, by_openssl(line.bytes, line.algorithm));
  }
  CHECK_EQ(group.value()->drain_backlog(), 0u);
}

TEST(hash_queue_hashes_every_stream_in_order) {
  for (const size_t streams : {1, 2, 3, 4, 9}) {
    for (const unsigned concurrency : {1U, 2U, 5U}) hash_in_parallel(streams, concurrency);
  }
}

// A pump that nobody will run any more drops what waits, with all that it holds.
TEST(hash_queue_drops_what_waits_at_shutdown) {
  auto scheduler = std::make_unique<Scheduler>();
  auto made = scheduler->make_group(1);
  REQUIRE_OK(made);
  const Scheduler::GroupRef group = made.value();
  std::latch holding(1);
  std::latch go(1);
  scheduler->post(group, TaskClass::kDrain, [&] {
    holding.count_down();
    go.wait();
  });
  holding.wait();
  std::weak_ptr<HashStream> watched;
  const std::vector<uint8_t> bytes(1000, 'x');
  {
    auto stream = std::make_shared<HashStream>(*scheduler, group, hasher());
    auto other = std::make_shared<HashStream>(*scheduler, group, hasher());
    watched = stream;
    HashStream& borrowed = *stream;
    borrowed.add(bytes, [stream = std::move(stream)] {});  // holds itself
    other->add(bytes, [other] {});
  }
  CHECK(!watched.expired());
  std::thread releasing([&] { go.count_down(); });
  scheduler->shutdown();
  releasing.join();
  CHECK(watched.expired());
  CHECK_EQ(group->drain_backlog(), 0u);
}

}  // namespace
}  // namespace ociunpack
