// BlobReader: the compressed bytes of a layer in pieces, from a file or from what is pushed, with
// the blob's own digest taken on the way (on a strand of its own, beside the decoding).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "digest/digest.h"
#include "source/source.h"

namespace ociunpack {

class BlobReader {
 public:
  static constexpr size_t kBufferBytes = 256 << 10;
  // Pieces of a file that may be held (by the decoder, by the hash) at a time; read() waits beyond
  // that, unless set_buffers() has allowed more.
  static constexpr size_t kBuffers = 4;
  void set_buffers(size_t buffers) { buffers_limit_ = buffers; }

  // Either `file`, or `push`, which must outlive the reader and calls `on_readable`, is read.
  // `on_readable` is called, from any thread, when read() had nothing and may have something now.
  BlobReader(std::optional<FileSource> file, PushSource* push, std::function<void()> on_readable);

  struct Piece {
    enum Kind : uint8_t { kBytes, kNothingYet, kEnd } kind = kEnd;
    Chunk chunk;
  };
  Result<Piece> read();

  uint64_t bytes_read() const { return bytes_read_; }

 private:
  // Buffers are recycled: a fresh 256 KiB block would be mapped and page-faulted each time.
  struct Buffers {
    std::mutex mutex;
    std::vector<std::unique_ptr<uint8_t[]>> free;
    size_t in_use = 0;
    bool reader_waits = false;
    std::function<void()> on_readable;
  };
  Result<Piece> read_file();

  std::optional<FileSource> file_;
  PushSource* push_;
  std::shared_ptr<Buffers> buffers_;
  size_t buffers_limit_ = kBuffers;
  uint64_t bytes_read_ = 0;
};

}  // namespace ociunpack
