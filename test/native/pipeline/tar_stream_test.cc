// The parallel decode against the serial one: the same bytes, and the same errors.
#include "pipeline/tar_stream.h"

#include <atomic>
#include <functional>
#include <semaphore>
#include <string>
#include <vector>

#include "../check.h"
#include "../decode/samples.h"
#include "pipeline/scheduler.h"

namespace ociunpack {
namespace {

struct Decoded {
  std::string bytes;
  std::optional<Error> error;
};

// Decodes `stream` as a layer's strand would, with `ahead` segments in parallel, pushed in pieces.
Decoded decode(const std::string& stream, size_t ahead, size_t piece, bool ignore_garbage = false) {
  Scheduler scheduler;
  auto group = scheduler.make_group(4);
  PushSource push(SIZE_MAX);
  for (size_t at = 0; at < stream.size(); at += piece) {
    const std::string_view part = std::string_view(stream).substr(at, piece);
    push.push(std::vector<uint8_t>(part.begin(), part.end()));
  }
  push.end();
  std::counting_semaphore<> woken(0);
  BlobReader reader(std::nullopt, &push, [&] { woken.release(); });
  DecodeOptions options;
  options.ignore_trailing_garbage = ignore_garbage;
  TarStream::Hooks hooks;
  size_t pieces_bytes = 0;
  hooks.on_piece = [&](const Chunk& chunk) -> Status {
    pieces_bytes += chunk.bytes.size();
    return {};
  };
  hooks.acquire = [](SlabRef* slab) {
    *slab = SlabPool::instance().try_acquire();
    return static_cast<bool>(*slab);
  };
  hooks.segments.post = [&](Task task) {
    scheduler.post(group.value(), TaskClass::kDecode, std::move(task));
  };
  hooks.segments.wake = [&] { woken.release(); };
  hooks.segments.stopped = [] { return false; };
  Decoded decoded;
  {
    TarStream tar(&reader, options, ahead, std::move(hooks));
    for (;;) {
      SlabRef slab;
      auto got = tar.next(&slab);
      if (!got.ok()) {
        decoded.error = std::move(got).error();
        break;
      }
      if (got.value() == TarStream::Got::kEnd) {
        CHECK_EQ(pieces_bytes, stream.size());
        break;
      }
      if (got.value() == TarStream::Got::kWait) {
        woken.acquire();
      } else {
        decoded.bytes.append(reinterpret_cast<const char*>(slab.data()), slab.size());
      }
    }
    scheduler.shutdown();
  }
  return decoded;
}

void check_same(const std::string& stream, bool ignore_garbage = false) {
  for (const size_t piece : {size_t{40'000}, size_t{256} << 10, size_t{3} << 20}) {
    const Decoded serial = decode(stream, 0, piece, ignore_garbage);
    for (const size_t ahead : {size_t{1}, size_t{3}, size_t{7}}) {
      const Decoded parallel = decode(stream, ahead, piece, ignore_garbage);
      CHECK_EQ(parallel.error.has_value(), serial.error.has_value());
      if (serial.error && parallel.error) {
        CHECK_EQ(parallel.error->message(), serial.error->message());
        CHECK_EQ(parallel.error->code, serial.error->code);
      } else {
        CHECK_EQ(parallel.bytes == serial.bytes, true);
      }
    }
  }
}

std::string many(const std::function<std::string(std::string_view)>& compress, int units,
                 size_t bytes) {
  std::string stream;
  for (int i = 0; i < units; ++i) {
    const std::string data = i % 3 == 0 ? samples::noise(bytes, static_cast<uint32_t>(i + 1))
                                        : samples::text(bytes, static_cast<uint32_t>(i + 1));
    stream += compress(data);
  }
  return stream;
}

std::string gzip(std::string_view data) { return samples::gzip(data); }
std::string zstd(std::string_view data) { return samples::zstd(data); }

TEST(tar_stream_decodes_many_units_in_parallel) {
  for (const auto& compress : {gzip, zstd}) {
    check_same(many(compress, 40, 300'000));
    check_same(many(compress, 600, 9'000));
    // A small first unit and one that is larger than all segments together.
    check_same(compress("small") + compress(samples::noise(12 << 20, 9)) + compress("end"));
  }
}

TEST(tar_stream_parallel_takes_empty_units_and_padding) {
  check_same(many(gzip, 12, 200'000) + gzip("") + std::string(100'000, '\0'));
  check_same(many(zstd, 12, 200'000) + zstd("") + samples::skippable("x") +
             std::string(100'000, '\0'));
  check_same(gzip("") + gzip(""));
}

TEST(tar_stream_parallel_reports_what_the_serial_one_does) {
  for (const auto& compress : {gzip, zstd}) {
    const std::string good = many(compress, 30, 200'000);
    check_same(good.substr(0, good.size() - 3));
    check_same(good.substr(0, good.size() / 2));
    check_same(good + "garbage");
    check_same(good + "garbage", /*ignore_garbage=*/true);
    check_same(good + std::string(700'000, 'g') + compress("after"), true);
    check_same(good + std::string(5'000, '\0') + compress("after the padding"));
    check_same(good + '\x1f');
    for (const size_t part : {size_t{3}, size_t{5}, size_t{9}}) {
      std::string bad = good;
      bad[bad.size() * part / 10] ^= 0x55;
      check_same(bad);
    }
  }
}

TEST(tar_stream_is_not_misled_by_what_looks_like_a_header) {
  // Stored blocks that are full of gzip headers and of whole members.
  const std::string member = samples::gzip("not a member of this stream");
  std::string bait;
  while (bait.size() < 3'000'000) bait += member + samples::noise(997, 5);
  samples::GzipParts stored;
  stored.level = 0;
  std::string stream = samples::gzip("first");
  for (int i = 0; i < 4; ++i) stream += samples::gzip(bait, stored);
  check_same(stream);
  check_same(stream.substr(0, stream.size() - 1'000'000));
  const std::string frames =
      samples::zstd("first") + samples::zstd(bait, 1) + samples::zstd(bait, 1);
  check_same(frames);
}

}  // namespace
}  // namespace ociunpack
