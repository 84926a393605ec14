// Where a layer's compressed bytes come from: a window of a file, or chunks that another thread
// pushes while they download.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ociunpack {

// Reads `length` bytes from `offset` of a file, in order. One thread at a time; read() blocks.
class FileSource {
 public:
  // length -1: to the end of the file. The path must be absolute when a worker thread calls this:
  // workers have a working directory of their own. A directory is ERR_IO (EISDIR).
  static Result<FileSource> open(const std::string& path, uint64_t offset = 0, int64_t length = -1);

  // Duplicates `fd`, which stays the caller's. A regular file is read by pread(2), so that its file
  // position does not matter; a pipe or socket is read as it comes, and `offset` must be 0.
  static Result<FileSource> from_fd(int fd, uint64_t offset = 0, int64_t length = -1);

  // Fills `out` as far as the window goes; 0 at its end. ERR_TRUNCATED when the file ends before
  // the window does.
  Result<size_t> read(std::span<uint8_t> out);

  // Bytes of the window; nothing when they are not known (a pipe with length -1).
  std::optional<uint64_t> size() const;
  const std::string& path() const { return path_; }

 private:
  FileSource() = default;
  static Result<FileSource> adopt(UniqueFd fd, std::string path, uint64_t offset, int64_t length);

  UniqueFd fd_;
  std::string path_;
  bool seekable_ = true;
  uint64_t position_ = 0;        // in the file
  uint64_t begin_ = 0;           // of the window
  std::optional<uint64_t> end_;  // of the window
};

// A piece of bytes that something else owns, for as long as `owner` lives.
struct Chunk {
  std::span<const uint8_t> bytes;
  std::shared_ptr<const void> owner;

  Chunk() = default;
  Chunk(std::span<const uint8_t> view, std::shared_ptr<const void> owned_by)
      : bytes(view), owner(std::move(owned_by)) {}
  explicit Chunk(std::vector<uint8_t> owned);
};

// A bounded queue between a producer thread and a consumer thread; neither ever blocks. Callbacks
// are called without a lock held, on the thread of the other side, and should only post a task.
class PushSource {
 public:
  static constexpr size_t kDefaultCapacity = 4 << 20;
  explicit PushSource(size_t capacity_bytes = kDefaultCapacity) : capacity_(capacity_bytes) {}

  // The producer's side. push() always takes the chunk (unless the consumer has closed, or the
  // stream has ended: then it is dropped); false says that the queue is full: push no more until
  // on_drained. end() and fail() end the stream, once; what was pushed before is popped first.
  bool push(Chunk chunk);
  bool push(std::vector<uint8_t> bytes) { return push(Chunk(std::move(bytes))); }
  // As push() of a copy, into blocks that are used again and again: small pieces become big chunks,
  // unless the consumer waits for them. One thread at a time.
  bool append(std::span<const uint8_t> bytes);
  void end();
  void fail(Error error);
  // Called when a full queue has been popped down to half (or closed). Set before the first push.
  void on_drained(std::function<void()> callback);

  // The consumer's side. pop() gives the next chunk (never an empty one), or says why there is
  // none: nothing yet (on_readable will be called), or the end; the error of fail() as an error.
  struct Popped {
    enum Kind : uint8_t { kChunk, kNothingYet, kEnd } kind = kNothingYet;
    Chunk chunk;
  };
  Result<Popped> pop();
  // Called after pop() has said kNothingYet, once there is a chunk or the end. Set before pop().
  void on_readable(std::function<void()> callback);
  // The consumer wants no more: drops what is queued and all that will come, and lets a waiting
  // producer go on. Both callbacks are dropped: none starts after close() has returned, but one
  // that another thread has already entered may still run.
  void close();

  size_t queued_bytes() const;

 private:
  enum class End : uint8_t { kOpen, kEnded, kFailed };
  struct Blocks {
    std::mutex mutex;
    std::vector<std::unique_ptr<uint8_t[]>> free;
  };
  static constexpr size_t kBlockBytes = 256 << 10;

  void finish(End end, Error error);
  std::shared_ptr<uint8_t[]> new_block();
  void hand_over();  // holds mutex_

  const size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<Chunk> chunks_;
  size_t queued_ = 0;
  // What append() fills. The producer alone sets these, and writes behind filled_ without the lock;
  // what lies between sent_ and filled_ is queued behind chunks_.
  const std::shared_ptr<Blocks> blocks_ = std::make_shared<Blocks>();
  std::shared_ptr<uint8_t[]> block_;
  size_t filled_ = 0;
  size_t sent_ = 0;
  bool full_ = false;            // push() has said false, and on_drained has not been called
  bool consumer_waits_ = false;  // pop() has said kNothingYet
  bool closed_ = false;
  End end_ = End::kOpen;
  Error error_;
  std::function<void()> on_drained_;
  std::function<void()> on_readable_;
};

}  // namespace ociunpack
