// ZstdDecoder: all frames of a zstd stream (RFC 8878), skippable ones passed over. libzstd checks
// the frames' checksums; the magic between frames is looked at here, so that legacy formats are
// refused and padding and garbage after the last frame are told apart.
#pragma once

#include <zstd.h>

#include <memory>

#include "decode/decoder.h"
#include "decode/trailing.h"

namespace ociunpack {

// Whether the first bytes, up to four, can be the beginning of a zstd or a skippable frame.
bool zstd_magic_prefix(std::span<const uint8_t> bytes);

class ZstdDecoder final : public Decoder {
 public:
  explicit ZstdDecoder(const DecodeOptions& options);

  Result<DecodeStep> decode(std::span<const uint8_t> in, bool last,
                            std::span<uint8_t> out) override;
  std::string_view name() const override { return "zstd"; }
  uint64_t units() const override { return before_ + frames_; }
  bool at_boundary() const override {
    return state_ == State::kMagic && magic_filled_ == 0 && units() > 0;
  }
  void follow(uint64_t units) override { before_ = units; }
  void stop_at_boundary() override { stops_ = true; }

 private:
  enum class State : uint8_t { kMagic, kFrame, kTrailing };
  static constexpr size_t kMagicBytes = 4;
  static constexpr size_t kMaxHeaderBytes = 18;  // RFC 8878, 3.1.1.1, with the magic

  Status magic(std::span<const uint8_t>* in, std::span<uint8_t>* out);
  Status frame(std::span<const uint8_t>* in, std::span<uint8_t>* out);
  Status end() const;

  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  const Trailing trailing_;
  const uint64_t max_window_;
  State state_ = State::kMagic;
  uint8_t magic_[kMagicBytes] = {};
  size_t magic_filled_ = 0;
  size_t header_left_ = 0;  // bytes of this frame that may still be its header
  uint64_t frames_ = 0;     // complete ones
  uint64_t before_ = 0;     // frames of the stream that this decoder was not given
  bool stops_ = false;      // at a boundary
};

}  // namespace ociunpack
