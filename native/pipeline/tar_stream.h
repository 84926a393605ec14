// TarStream: the uncompressed tar of a layer, a slab at a time: reads the blob, tells its
// compression, decodes it. A stream of many gzip members or zstd frames is decoded in parallel once
// it has shown itself as one (segment_queue.h). Belongs to the layer's decode strand.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "decode/decoder.h"
#include "pipeline/blob_reader.h"
#include "pipeline/segment_queue.h"
#include "pipeline/slab.h"
#include "source/source.h"

namespace ociunpack {

class TarStream {
 public:
  struct Hooks {
    std::function<Status(const Chunk&)> on_piece;  // every piece of the blob, in order
    std::function<bool(SlabRef*)> acquire;         // an empty slab; false: wake() comes with one
    SegmentQueue::Hooks segments;
  };

  // `reader` must outlive it. `ahead`: segments that may be decoded ahead of time; 0: none.
  TarStream(BlobReader* reader, const DecodeOptions& options, size_t ahead, Hooks hooks)
      : reader_(reader), options_(options), ahead_(ahead), hooks_(std::move(hooks)) {}

  enum class Got : uint8_t {
    kSlab,
    kWait,  // for input, for memory or for another worker: wake() will be called
    kEnd,   // the stream is complete, and nothing follows
  };
  Result<Got> next(SlabRef* slab);

  // Known after the first slab or the end.
  Compression compression() const { return compression_; }
  std::string_view decoder() const { return decoder_ ? decoder_->name() : "identity"; }

  double read_ms() const { return read_ms_; }
  double decode_ms() const;

 private:
  Result<BlobReader::Piece> read();
  Result<bool> next_input();
  Result<Got> decode(SlabRef* slab);
  Status start_segments();
  Result<bool> feed_segments();
  Result<Got> next_segment_slab(SlabRef* slab);

  BlobReader* const reader_;
  const DecodeOptions options_;
  const size_t ahead_;
  const Hooks hooks_;
  Compression compression_ = Compression::kEmpty;
  std::unique_ptr<Decoder> decoder_;
  std::vector<uint8_t> head_;  // first bytes, until the compression is known
  Chunk input_;
  std::span<const uint8_t> input_left_;
  bool input_ended_ = false;
  bool finished_ = false;
  SlabRef filling_;
  std::shared_ptr<SegmentQueue> segments_;
  double read_ms_ = 0, decode_ms_ = 0;
};

}  // namespace ociunpack
