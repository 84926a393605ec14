#include "samples.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <random>

namespace ociunpack::samples {
namespace {

std::string little_endian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; i++) text += static_cast<char>(value >> (8 * i));
  return text;
}

uint32_t crc_of(std::string_view data) {
  return static_cast<uint32_t>(
      ::crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size())));
}

}  // namespace

std::string text(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string result;
  while (result.size() < size) {
    if (result.size() > 100 && random() % 4 == 0) {
      const size_t back = 1 + random() % std::min<size_t>(result.size(), 32768);
      const size_t length = 3 + random() % 300;
      for (size_t i = 0; i < length; i++) result += result[result.size() - back];
    } else {
      for (size_t i = random() % 20; i-- > 0;) result += "etaoin shrdlu\n\0\1\2"[random() % 17];
    }
  }
  result.resize(size);
  return result;
}

std::string noise(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string result(size, '\0');
  for (char& c : result) c = static_cast<char>(random());
  return result;
}

std::string raw_deflate(std::string_view data, int level, int strategy) {
  z_stream stream = {};
  ::deflateInit2(&stream, level, Z_DEFLATED, -MAX_WBITS, 8, strategy);
  std::string result(::deflateBound(&stream, data.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  ::deflate(&stream, Z_FINISH);
  result.resize(stream.total_out);
  ::deflateEnd(&stream);
  return result;
}

std::string gzip_header(const GzipParts& parts) {
  const int flags = (parts.header_crc ? 2 : 0) | (parts.extra ? 4 : 0) | (parts.name ? 8 : 0) |
                    (parts.comment ? 16 : 0);
  std::string header = "\x1f\x8b\x08";
  header += static_cast<char>(flags);
  header += little_endian(1700000000, 4) + std::string("\0\3", 2);
  if (parts.extra) header += little_endian(parts.extra->size(), 2) + *parts.extra;
  if (parts.name) header += *parts.name + '\0';
  if (parts.comment) header += *parts.comment + '\0';
  if (parts.header_crc) header += little_endian(crc_of(header), 2);
  return header;
}

std::string gzip_trailer(std::string_view data) {
  return little_endian(crc_of(data), 4) + little_endian(data.size(), 4);
}

std::string gzip(std::string_view data, const GzipParts& parts) {
  return gzip_header(parts) + raw_deflate(data, parts.level, parts.strategy) + gzip_trailer(data);
}

std::string zstd(std::string_view data, int level, bool checksum, int window_log) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, checksum ? 1 : 0);
  if (window_log) ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  std::string result(ZSTD_compressBound(data.size()) + 64, '\0');
  // By the streaming call without a known size: the frame then has a window, as layers have.
  ZSTD_inBuffer in{data.data(), data.size(), 0};
  ZSTD_outBuffer out{result.data(), result.size(), 0};
  ZSTD_compressStream2(context, &out, &in, ZSTD_e_continue);
  while (ZSTD_compressStream2(context, &out, &in, ZSTD_e_end) != 0) {
  }
  ZSTD_freeCCtx(context);
  result.resize(out.pos);
  return result;
}

std::string skippable(std::string_view data, uint8_t magic) {
  return std::string(1, static_cast<char>(magic)) + "\x2a\x4d\x18" + little_endian(data.size(), 4) +
         std::string(data);
}

Result<std::string> decode_all(Decoder& decoder, std::string_view stream, Splits splits) {
  std::string result;
  // Exactly as large as said, so that AddressSanitizer sees a byte too many.
  const auto out = std::make_unique<uint8_t[]>(splits.out);
  size_t position = 0;
  while (true) {
    const size_t piece = std::min(splits.in, stream.size() - position);
    const auto in = std::make_unique<uint8_t[]>(std::max<size_t>(piece, 1));
    std::copy_n(stream.begin() + static_cast<ptrdiff_t>(position), piece, in.get());
    const bool last = position + piece == stream.size();
    OCIUNPACK_ASSIGN(const DecodeStep step,
                     decoder.decode({in.get(), piece}, last, {out.get(), splits.out}));
    if (step.consumed > piece || step.produced > splits.out) {
      return input_error(Code::ERR_INTERNAL, "decode_all", {}, "counts out of range");
    }
    result.append(reinterpret_cast<const char*>(out.get()), step.produced);
    position += step.consumed;
    if (step.finished) {
      if (position == stream.size()) return result;
      return input_error(Code::ERR_INTERNAL, "decode_all", {}, "finished too early");
    }
    if (step.consumed == 0 && step.produced == 0 && piece > 0) {
      return input_error(Code::ERR_INTERNAL, "decode_all", {}, "no progress");
    }
    if (step.consumed < piece && step.produced < splits.out) {
      return input_error(Code::ERR_INTERNAL, "decode_all", {}, "stopped without a reason");
    }
    if (last && step.consumed == piece && step.produced < splits.out) {
      return input_error(Code::ERR_INTERNAL, "decode_all", {}, "neither finished nor truncated");
    }
  }
}

}  // namespace ociunpack::samples
