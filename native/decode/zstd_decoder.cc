#include "decode/zstd_decoder.h"

#include <zstd_errors.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <string>

namespace ociunpack {

bool zstd_magic_prefix(std::span<const uint8_t> bytes) {
  static constexpr uint8_t kFrame[] = {0x28, 0xb5, 0x2f, 0xfd};
  static constexpr uint8_t kSkippable[] = {0x50, 0x2a, 0x4d, 0x18};  // 0x50 to 0x5f
  bool frame = true;
  bool skippable = true;
  for (size_t i = 0; i < std::min(bytes.size(), sizeof kFrame); i++) {
    frame = frame && bytes[i] == kFrame[i];
    skippable = skippable && (i == 0 ? bytes[i] & 0xf0 : bytes[i]) == kSkippable[i];
  }
  return frame || skippable;
}

ZstdDecoder::ZstdDecoder(const DecodeOptions& options)
    : context_(ZSTD_createDCtx()),
      trailing_(options.ignore_trailing_garbage),
      max_window_(options.max_zstd_window) {
  if (!context_) return;
  const ZSTD_bounds bounds = ZSTD_dParam_getBounds(ZSTD_d_windowLogMax);
  const int log = std::bit_width(std::max<uint64_t>(max_window_, 1)) - 1;
  ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax,
                         std::clamp(log, bounds.lowerBound, bounds.upperBound));
}

Result<DecodeStep> ZstdDecoder::decode(std::span<const uint8_t> in, bool last,
                                       std::span<uint8_t> out) {
  if (!context_) return system_error(ENOMEM, "ZSTD_createDCtx", {});
  const size_t in_size = in.size();
  const size_t out_size = out.size();
  while (true) {
    if (state_ == State::kFrame) {
      OCIUNPACK_TRY(frame(&in, &out));
      // Within a frame the library has taken all the input, or filled the output.
      if (state_ == State::kFrame || stops_) break;
      continue;
    }
    if (in.empty()) break;
    if (state_ == State::kMagic) {
      const uint64_t before = frames_;
      OCIUNPACK_TRY(magic(&in, &out));
      if (stops_ && frames_ > before) break;
    } else {
      OCIUNPACK_TRY(trailing_.check(in, "unzstd"));
      in = {};
    }
  }
  DecodeStep step{in_size - in.size(), out_size - out.size(), false};
  if (last && in.empty() && (state_ != State::kFrame || !out.empty())) {
    OCIUNPACK_TRY(end());
    step.finished = true;
  }
  return step;
}

Status ZstdDecoder::magic(std::span<const uint8_t>* in, std::span<uint8_t>* out) {
  magic_[magic_filled_++] = in->front();
  const std::span<const uint8_t> seen(magic_, magic_filled_);
  if (!zstd_magic_prefix(seen)) {
    if (units() == 0) {
      return input_error(Code::ERR_INVALID_ZSTD, "unzstd", {}, "not a zstd frame");
    }
    state_ = State::kTrailing;
    *in = in->subspan(1);
    return trailing_.check(seen, "unzstd");
  }
  *in = in->subspan(1);
  if (magic_filled_ < kMagicBytes) return {};
  magic_filled_ = 0;
  state_ = State::kFrame;
  header_left_ = kMaxHeaderBytes - kMagicBytes;
  // The library consumes the magic whole, and gives nothing for it.
  std::span<const uint8_t> first(magic_, kMagicBytes);
  return frame(&first, out);
}

Status ZstdDecoder::frame(std::span<const uint8_t>* in, std::span<uint8_t>* out) {
  ZSTD_inBuffer input{in->data(), in->size(), 0};
  ZSTD_outBuffer output{out->data(), out->size(), 0};
  // One call may stop at the end of a block of its own; go on until one side is used up.
  while (true) {
    if (header_left_ > 0 && input.pos < in->size()) {
      // The header goes in byte by byte. Where the call that completes it sees more, libzstd may
      // take a short cut that looks for a whole frame at the beginning of that call's input, which
      // is not the beginning of the frame once the input is split: what a hostile frame decodes to
      // would depend on the split.
      header_left_--;
      input.size = input.pos + 1;
    } else {
      input.size = in->size();
    }
    const size_t in_before = input.pos;
    const size_t out_before = output.pos;
    const size_t status = ZSTD_decompressStream(context_.get(), &output, &input);
    if (ZSTD_isError(status)) {
      switch (ZSTD_getErrorCode(status)) {
        case ZSTD_error_frameParameter_windowTooLarge:
          return input_error(Code::ERR_LIMIT_EXCEEDED, "unzstd", {},
                             "the zstd frame wants a window larger than " +
                                 std::to_string(max_window_) + " bytes");
        case ZSTD_error_memory_allocation:
          return system_error(ENOMEM, "ZSTD_decompressStream", {});
        default:
          return input_error(Code::ERR_INVALID_ZSTD, "unzstd", {}, ZSTD_getErrorName(status));
      }
    }
    if (status == 0) {
      frames_++;
      state_ = State::kMagic;
      break;
    }
    // The header needs no room to write to: it is taken whole even where there is none, since the
    // magic is not offered again.
    if (output.pos == output.size && (header_left_ == 0 || input.pos == in_before)) break;
    if (input.pos < in->size() && input.pos > in_before) continue;
    if (input.pos == in->size()) {
      // All taken; once the output is not full either, nothing is left inside.
      if (output.pos == out_before) break;
      continue;
    }
    if (input.pos == in_before && output.pos == out_before) {
      return input_error(Code::ERR_INVALID_ZSTD, "unzstd", {}, "the decoder makes no progress");
    }
  }
  *in = in->subspan(input.pos);
  *out = out->subspan(output.pos);
  return {};
}

Status ZstdDecoder::end() const {
  if (state_ == State::kTrailing) return {};
  if (state_ == State::kMagic && units() > 0 &&
      (magic_filled_ == 0 || trailing_.ignore_garbage())) {
    return {};
  }
  return input_error(
      Code::ERR_TRUNCATED, "unzstd", {},
      "the zstd stream ends in a frame, after " + std::to_string(units()) + " complete frames");
}

}  // namespace ociunpack
