#include "decode/decoder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "decode/gzip_decoder.h"
#include "decode/inflate_engine.h"
#include "decode/zstd_decoder.h"

namespace ociunpack {
namespace {

class IdentityDecoder final : public Decoder {
 public:
  Result<DecodeStep> decode(std::span<const uint8_t> in, bool last,
                            std::span<uint8_t> out) override {
    const size_t size = std::min(in.size(), out.size());
    if (size > 0) std::memcpy(out.data(), in.data(), size);
    return DecodeStep{size, size, last && size == in.size()};
  }
  std::string_view name() const override { return "identity"; }
};

// Stands for a decoder whose library could not get its memory: says so when it is used.
class NoMemoryDecoder final : public Decoder {
 public:
  Result<DecodeStep> decode(std::span<const uint8_t>, bool, std::span<uint8_t>) override {
    return system_error(ENOMEM, "inflateInit2", {});
  }
  std::string_view name() const override { return "zlib"; }
};

bool begins_with(std::span<const uint8_t> head, std::string_view magic) {
  return head.size() >= magic.size() && std::memcmp(head.data(), magic.data(), magic.size()) == 0;
}

// Compressions that layers are sometimes offered in and that the OCI image-spec does not know.
const char* foreign_compression(std::span<const uint8_t> head) {
  using namespace std::literals;
  if (begins_with(head,
                  "\xfd"
                  "7zXZ\0"sv))
    return "xz";
  if (begins_with(head, "\x04\x22\x4d\x18"sv)) return "lz4";
  if (begins_with(head, "\x1f\x9d"sv)) return "compress";
  // A tar begins with a file name, which may well be "BZh9...": the block magic has to follow.
  if (begins_with(head, "BZh"sv) && head.size() >= kDetectBytes && head[3] >= '1' &&
      head[3] <= '9' &&
      ((head[4] == 0x31 && head[5] == 0x41) || (head[4] == 0x17 && head[5] == 0x72))) {
    return "bzip2";
  }
  return nullptr;
}

}  // namespace

Result<Compression> detect(std::span<const uint8_t> head) {
  if (head.empty()) return Compression::kEmpty;
  if (begins_with(head, "\x1f\x8b")) return Compression::kGzip;
  if (head.size() >= 4 && zstd_magic_prefix(head.first(4))) return Compression::kZstd;
  if (const char* name = foreign_compression(head)) {
    return input_error(Code::ERR_UNKNOWN_COMPRESSION, "detect", {},
                       std::string("the layer is compressed with ") + name +
                           "; gzip, zstd and uncompressed layers are supported");
  }
  return Compression::kIdentity;
}

std::unique_ptr<Decoder> make_decoder(Compression compression, const DecodeOptions& options) {
  switch (compression) {
    case Compression::kGzip: {
      std::unique_ptr<InflateEngine> engine;
      if (!options.force_zlib) engine = make_isal_engine();
      if (!engine) engine = make_zlib_engine();
      if (!engine) return std::make_unique<NoMemoryDecoder>();
      return std::make_unique<GzipDecoder>(std::move(engine), options);
    }
    case Compression::kZstd:
      return std::make_unique<ZstdDecoder>(options);
    case Compression::kEmpty:
    case Compression::kIdentity:
      break;
  }
  return std::make_unique<IdentityDecoder>();
}

std::string_view zstd_version() { return ZSTD_versionString(); }

}  // namespace ociunpack
