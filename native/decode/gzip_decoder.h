// GzipDecoder: all members of a gzip stream, one after the other. The framing is ours, the
// inflating an engine's; CRC-32 and length of every member are checked.
#pragma once

#include <memory>

#include "decode/decoder.h"
#include "decode/gzip_framing.h"
#include "decode/inflate_engine.h"
#include "decode/trailing.h"

namespace ociunpack {

class GzipDecoder final : public Decoder {
 public:
  // `engine` must not be null.
  GzipDecoder(std::unique_ptr<InflateEngine> engine, const DecodeOptions& options);

  Result<DecodeStep> decode(std::span<const uint8_t> in, bool last,
                            std::span<uint8_t> out) override;
  std::string_view name() const override { return engine_->name(); }
  uint64_t units() const override { return before_ + members_; }
  bool at_boundary() const override { return state_ == State::kBetween && units() > 0; }
  void follow(uint64_t units) override;
  void stop_at_boundary() override { stops_ = true; }

 private:
  enum class State : uint8_t {
    kHeader,
    kBody,
    kTrailer,
    kBetween,   // after a member: another one, padding, or the end
    kMagic,     // after a member and the first byte of a magic
    kTrailing,  // padding or garbage, to the end
  };

  Status header(std::span<const uint8_t>* in);
  // True when the engine needs more input or more room.
  Result<bool> body(std::span<const uint8_t>* in, std::span<uint8_t>* out);
  Status trailer(std::span<const uint8_t>* in);
  Status between(std::span<const uint8_t>* in);
  Status end() const;

  std::unique_ptr<InflateEngine> engine_;
  const Trailing trailing_;
  State state_ = State::kHeader;
  GzipHeader header_;
  GzipTrailer trailer_;
  uint32_t crc_ = 0;
  uint64_t size_ = 0;     // bytes that this member has given
  uint64_t members_ = 0;  // complete ones
  uint64_t before_ = 0;   // members of the stream that this decoder was not given
  bool stops_ = false;    // at a boundary
};

}  // namespace ociunpack
