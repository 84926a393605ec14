// SegmentQueue: decodes a stream of many gzip members or zstd frames in parallel. The compressed
// bytes are cut into segments where a unit seems to begin; each is decoded, by a decoder of its
// own, on whichever worker is free, and given out in order. Nothing is taken on trust: a segment
// counts only if the one before it ended with a complete unit just there; if not, its bytes are
// decoded anew, as a part of that one. So the result is that of one decoder over the whole stream.
//
// Everything but the decoding of segments ahead belongs to the layer's decode strand. Lock order:
// mutex_ before the slab pool's.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "decode/decoder.h"
#include "decode/unit_scanner.h"
#include "pipeline/slab.h"
#include "pipeline/task.h"
#include "source/source.h"

namespace ociunpack {

class SegmentQueue : public std::enable_shared_from_this<SegmentQueue> {
 public:
  // Compressed bytes that are worth a task.
  static constexpr size_t kSegmentBytes = 512 << 10;
  // Slabs that a segment is decoded into ahead of its turn; after that it waits for it.
  static constexpr size_t kSlabsAhead = 16;

  struct Hooks {
    std::function<void(Task)> post;  // runs a task on some worker; it may be destroyed unrun
    std::function<void()> wake;      // next() said kWait and may say something else now
    std::function<bool()> stopped;   // nothing more is wanted
  };

  // `units` of the stream have been decoded already. `ahead` segments may wait or be decoded while
  // another is used up; at least 1.
  SegmentQueue(Compression compression, const DecodeOptions& options, uint64_t units, size_t ahead,
               Hooks hooks);

  // Whether more compressed bytes should be given now.
  bool wants_input() const;
  void add(Chunk chunk);
  void end_input();
  // Compressed bytes that the queue may hold.
  size_t capacity() const { return capacity_; }

  enum class Next : uint8_t {
    kSlab,       // `*slab` is the next piece of output
    kDecode,     // call decode()
    kNeedInput,  // nothing is left but an unfinished segment: add() or end_input()
    kWait,       // another worker decodes what comes next; wake() will be called
    kEnd,        // all is decoded, and correct to its end
  };
  Next next(SlabRef* slab);
  // After kDecode: decodes what comes next into `out`, on this thread, as far as it goes; 0 bytes
  // when nothing was left but to find that out. Errors as Decoder::decode().
  Result<size_t> decode(std::span<uint8_t> out);

  // Nanoseconds that the segments ahead took, on all workers.
  uint64_t ahead_nanoseconds() const { return ahead_nanoseconds_.load(std::memory_order_relaxed); }

 private:
  enum class State : uint8_t { kIdle, kQueued, kRunning };
  struct Segment {
    std::vector<Chunk> pieces;
    size_t bytes = 0;   // of the pieces
    size_t piece = 0;   // the next to decode
    size_t offset = 0;  // in it
    bool closed = false;
    bool last = false;  // of the stream
    std::unique_ptr<Decoder> decoder;
    bool taken = false;     // by the strand
    bool finished = false;  // all of its pieces are decoded
    bool failed = false;
    std::deque<SlabRef> slabs;
    State state = State::kIdle;  // guarded by mutex_; while kRunning the worker owns the segment
  };
  using SegmentRef = std::shared_ptr<Segment>;

  Segment& open_segment();
  void close(const SegmentRef& segment);
  void run_ahead(const SegmentRef& segment);
  void decode_ahead(Segment& segment);
  Result<size_t> advance(Segment& segment, std::span<uint8_t> out) const;
  bool take(const SegmentRef& segment);
  bool merge_next();
  void drop_used(Segment& segment);

  const Compression compression_;
  const DecodeOptions options_;
  const Hooks hooks_;
  const size_t capacity_;
  std::unique_ptr<UnitScanner> scanner_;
  uint64_t units_;  // complete before the first segment
  std::deque<SegmentRef> segments_;
  size_t held_ = 0;  // bytes of all pieces
  bool input_ended_ = false;
  std::mutex mutex_;  // guards Segment::state and waiting_
  bool waiting_ = false;
  std::atomic<uint64_t> ahead_nanoseconds_{0};
};

}  // namespace ociunpack
