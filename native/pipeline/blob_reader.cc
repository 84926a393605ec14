#include "pipeline/blob_reader.h"

#include <utility>

namespace ociunpack {

BlobReader::BlobReader(std::optional<FileSource> file, PushSource* push,
                       std::function<void()> on_readable)
    : file_(std::move(file)), push_(push), buffers_(std::make_shared<Buffers>()) {
  buffers_->on_readable = on_readable;
  if (push_ != nullptr) push_->on_readable(std::move(on_readable));
}

Result<BlobReader::Piece> BlobReader::read() {
  if (file_) return read_file();
  auto popped = push_->pop();
  if (!popped.ok()) return std::move(popped).error();
  switch (popped.value().kind) {
    case PushSource::Popped::kChunk:
      bytes_read_ += popped.value().chunk.bytes.size();
      return Piece{Piece::kBytes, std::move(popped.value().chunk)};
    case PushSource::Popped::kNothingYet:
      return Piece{Piece::kNothingYet, {}};
    case PushSource::Popped::kEnd:
      break;
  }
  return Piece{Piece::kEnd, {}};
}

Result<BlobReader::Piece> BlobReader::read_file() {
  std::unique_ptr<uint8_t[]> memory;
  {
    const std::lock_guard lock(buffers_->mutex);
    if (buffers_->in_use >= buffers_limit_) {
      buffers_->reader_waits = true;
      return Piece{Piece::kNothingYet, {}};
    }
    ++buffers_->in_use;
    if (!buffers_->free.empty()) {
      memory = std::move(buffers_->free.back());
      buffers_->free.pop_back();
    }
  }
  if (memory == nullptr) memory = std::make_unique_for_overwrite<uint8_t[]>(kBufferBytes);
  uint8_t* const bytes = memory.get();
  std::shared_ptr<const void> owner(memory.release(), [buffers = buffers_](const void* held) {
    std::function<void()> wake;
    {
      const std::lock_guard lock(buffers->mutex);
      buffers->free.emplace_back(static_cast<uint8_t*>(const_cast<void*>(held)));
      --buffers->in_use;
      if (std::exchange(buffers->reader_waits, false)) wake = buffers->on_readable;
    }
    if (wake) wake();
  });
  OCIUNPACK_ASSIGN(const size_t got, file_->read({bytes, kBufferBytes}));
  bytes_read_ += got;
  if (got == 0) return Piece{Piece::kEnd, {}};
  return Piece{Piece::kBytes, Chunk(std::span<const uint8_t>(bytes, got), std::move(owner))};
}

}  // namespace ociunpack
