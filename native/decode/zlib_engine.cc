// Raw deflate by zlib: the one that Node exports, or the system's in the test executable.
#include <zlib.h>

#include <algorithm>

#include "decode/inflate_engine.h"

namespace ociunpack {
namespace {

class ZlibEngine final : public InflateEngine {
 public:
  ZlibEngine() { ready_ = ::inflateInit2(&stream_, -MAX_WBITS) == Z_OK; }
  ~ZlibEngine() override {
    if (ready_) ::inflateEnd(&stream_);
  }
  ZlibEngine(const ZlibEngine&) = delete;
  ZlibEngine& operator=(const ZlibEngine&) = delete;
  bool ready() const { return ready_; }

  void reset() override { ::inflateReset(&stream_); }

  Step inflate(std::span<const uint8_t> in, std::span<uint8_t> out) override {
    const size_t in_size = std::min(in.size(), kMaxEngineBytes);
    const size_t out_size = std::min(out.size(), kMaxEngineBytes);
    // zlib only reads through next_in; its type lacks the const unless ZLIB_CONST is defined.
    stream_.next_in = const_cast<Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(in_size);
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(out_size);
    const int status = ::inflate(&stream_, Z_NO_FLUSH);
    Step step;
    step.consumed = in_size - stream_.avail_in;
    step.produced = out_size - stream_.avail_out;
    switch (status) {
      case Z_OK:
      case Z_BUF_ERROR:  // no progress possible: says the same as consumed == produced == 0
        break;
      case Z_STREAM_END:
        step.ended = true;
        break;
      case Z_MEM_ERROR:
        step.error = "zlib is out of memory";
        break;
      default:
        step.error = stream_.msg ? stream_.msg : "invalid deflate data";
        break;
    }
    return step;
  }

  uint32_t crc(uint32_t crc, std::span<const uint8_t> bytes) const override {
    while (!bytes.empty()) {
      const size_t size = std::min(bytes.size(), kMaxEngineBytes);
      crc = static_cast<uint32_t>(::crc32(crc, bytes.data(), static_cast<uInt>(size)));
      bytes = bytes.subspan(size);
    }
    return crc;
  }

  std::string_view name() const override { return "zlib"; }

 private:
  z_stream stream_ = {};
  bool ready_ = false;
};

}  // namespace

std::unique_ptr<InflateEngine> make_zlib_engine() {
  auto engine = std::make_unique<ZlibEngine>();
  if (!engine->ready()) return nullptr;
  return engine;
}

}  // namespace ociunpack
