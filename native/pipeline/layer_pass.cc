// The decode strand of a pass: reading, decoding, hashing, and the state machine that never blocks.
// What happens to the entries is in layer_pass_entries.cc.
#include "pipeline/layer_pass.h"

#include <unistd.h>

#include <utility>

#include "apply/prepare_root.h"

namespace ociunpack {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Adds the time of its scope to a counter of nanoseconds; any thread.
class Timer {
 public:
  explicit Timer(std::atomic<uint64_t>* total) : total_(total), start_(Clock::now()) {}
  ~Timer() {
    total_->fetch_add(static_cast<uint64_t>((Clock::now() - start_).count()),
                      std::memory_order_relaxed);
  }

 private:
  std::atomic<uint64_t>* total_;
  Clock::time_point start_;
};

// Layers below this are done on one worker: handing over would cost more than it wins.
constexpr uint64_t kSmallBlobBytes = 1 << 20;
// The ratio of a small layer says nothing (a few zero files): SEMANTICS.md's limit counts from
// here.
constexpr uint64_t kRatioFromBytes = 64 << 20;

uint64_t expected_bytes(const LayerOptions& options) {
  if (options.size) return *options.size;
  if (const auto* path = std::get_if<PathSource>(&options.source)) {
    if (path->length >= 0) return static_cast<uint64_t>(path->length);
  }
  return UINT64_MAX;  // unknown: treated as big
}

bool runs_inline(const LayerOptions& options) {
  return options.group->concurrency() == 1 || expected_bytes(options) < kSmallBlobBytes;
}

}  // namespace

LayerPass::LayerPass(const LayerOptions& options, PushSource* push, PassCounters* counters,
                     NoteSink* notes, std::shared_ptr<const TreeView> lower, EndCallback on_end)
    : options_(options),
      push_(push),
      counters_(counters),
      notes_(notes),
      lower_(std::move(lower)),
      on_end_(std::move(on_end)),
      inline_(runs_inline(options)),
      decode_strand_(Scheduler::instance(), options.group, TaskClass::kDecode,
                     expected_bytes(options)),
      blob_strand_(Scheduler::instance(), options.group, TaskClass::kDrain),
      tar_strand_(Scheduler::instance(), options.group, TaskClass::kDrain),
      tar_(options.limits),
      tree_(std::make_shared<LayerTree>()) {
  PlanOptions plan = options.plan;
  plan.limits = options.limits;
  plan.lower = lower_.get();
  plan.lower_unknown = options.has_lower && lower_ == nullptr;
  planner_ = std::make_unique<Planner>(tree_.get(), plan);
}

void LayerPass::start() {
  started_ = Clock::now();
  counters_->bytes_in = 0;
  counters_->bytes_out = 0;
  counters_->entries = 0;
  wake();
}

void LayerPass::stop(Error error) {
  {
    const std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::move(error);
  }
  stop_.store(true, std::memory_order_release);
  wake();
}

void LayerPass::wake() {
  if (posted_.exchange(true)) return;
  decode_strand_.post([self = shared_from_this()] { self->decode_task(); });
}

void LayerPass::decode_task() {
  posted_.store(false);
  if (state_ == State::kEnded) return;
  if (!stopped()) {
    auto next = advance();
    if (!next.ok()) {
      stop(explain(std::move(next).error()));
    } else if (next.value() == Next::kAgain) {
      wake();
      return;
    } else if (next.value() == Next::kEnd) {
      end();
      return;
    }
  }
  if (!stopped()) return;
  // Stopped: end once nothing of this pass runs any more. The flag is set before the count is
  // looked at, and drain_done() does it the other way round: one of the two sees the other.
  slab_.reset();
  batch_.reset();
  waits_for_all_.store(true);
  if (outstanding_.load() == 0) end();
}

Result<LayerPass::Next> LayerPass::advance() {
  switch (state_) {
    case State::kOpening:
      OCIUNPACK_TRY(open());
      state_ = State::kDecoding;
      return Next::kAgain;
    case State::kDecoding:
      return decode_slab();
    case State::kDraining:
      waits_for_all_.store(true);
      if (outstanding_.load() > 0) return Next::kWait;
      waits_for_all_.store(false);
      return drained();
    case State::kFinishing:
      waits_for_all_.store(true);
      if (outstanding_.load() > 0) return Next::kWait;
      result_.times.wall = milliseconds_since(started_);
      result_.times.hash = static_cast<double>(hash_nanoseconds_.load()) / 1e6;
      result_.times.write = static_cast<double>(write_nanoseconds_.load()) / 1e6;
      result_.times.finish = static_cast<double>(finish_nanoseconds_.load()) / 1e6;
      result_.times.read = read_ms_;
      result_.times.decode = decode_ms_;
      result_.times.parse = parse_ms_;
      return Next::kEnd;
    case State::kEnded:
      break;
  }
  return Next::kWait;
}

Status LayerPass::open() {
  std::optional<FileSource> file;
  const PathSource* path = std::get_if<PathSource>(&options_.source);
  if (const auto* stream = std::get_if<StreamSource>(&options_.source);
      stream != nullptr && push_ == nullptr && stream->replay) {
    path = &*stream->replay;
  }
  if (path != nullptr) {
    OCIUNPACK_ASSIGN(file, FileSource::open(path->path, path->offset, path->length));
  } else if (const auto* fd = std::get_if<FdSource>(&options_.source)) {
    OCIUNPACK_ASSIGN(file, FileSource::from_fd(fd->fd, fd->offset, fd->length));
  }
  if (file && file->size() && options_.size && *file->size() != *options_.size) {
    return input_error(Code::ERR_SIZE_MISMATCH, "read", file->path(),
                       "the blob has " + std::to_string(*file->size()) +
                           " bytes, its descriptor says " + std::to_string(*options_.size));
  }
  blob_.emplace(std::move(file), push_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->wake();
  });
  OCIUNPACK_ASSIGN(blob_hasher_,
                   Hasher::create(options_.digest ? options_.digest->algorithm : "sha256"));
  OCIUNPACK_ASSIGN(tar_hasher_,
                   Hasher::create(options_.diff_id ? options_.diff_id->algorithm : "sha256"));
  context_.format = options_.format;
  context_.policies = options_.policies;
  context_.notes = notes_;
  context_.euid = ::geteuid();
  context_.egid = ::getegid();
  context_.umask_private = Scheduler::instance().umask_private();
  directories_ = std::make_unique<DirCache>();
  OCIUNPACK_ASSIGN(DirRef root, prepare_root(context_, options_.directory));
  directories_->put(kRootNode, std::move(root));
  return {};
}

// One slab: what is left to parse of the one before, then a new one is filled, hashed and parsed.
Result<LayerPass::Next> LayerPass::decode_slab() {
  if (waiting_step_ == nullptr && unparsed_.empty()) {
    if (!slab_) {
      {
        const std::lock_guard lock(slab_mutex_);
        slab_ = std::move(granted_slab_);
        if (!slab_ && slab_asked_) return Next::kWait;
      }
      if (!slab_) slab_ = SlabPool::instance().try_acquire();
      if (!slab_) {
        {
          const std::lock_guard lock(slab_mutex_);
          slab_asked_ = true;
        }
        SlabPool::instance().when_available([weak = weak_from_this()](SlabRef slab) {
          const auto self = weak.lock();
          if (!self) return;
          if (!slab) {
            self->stop(input_error(Code::ERR_IO, "malloc", "", "no memory for a slab"));
            return;
          }
          {
            const std::lock_guard lock(self->slab_mutex_);
            self->granted_slab_ = std::move(slab);
            self->slab_asked_ = false;
          }
          self->wake();
        });
        return Next::kWait;
      }
    }
    bool waits = false;
    OCIUNPACK_TRY([&]() -> Status {
      auto filled = fill(&waits);
      return filled.ok() ? Status() : Status(std::move(filled).error());
    }());
    if (slab_.size() == 0 && waits) {
      slab_.reset();
      return Next::kWait;
    }
    counters_->bytes_out.fetch_add(slab_.size(), std::memory_order_relaxed);
    OCIUNPACK_TRY(check_limits());
    hash_slab();
    unparsed_ = slab_.bytes();
  }
  const auto start = Clock::now();
  OCIUNPACK_TRY(parse());
  parse_ms_ += milliseconds_since(start);
  counters_->entries.store(tar_.entries(), std::memory_order_relaxed);
  if (waiting_step_ != nullptr) {
    // As in decode_task(): the flag before the count.
    waits_for_writes_.store(true);
    return writes_.load() == 0 ? Next::kAgain : Next::kWait;
  }
  if (!decoder_finished_) return Next::kAgain;
  OCIUNPACK_TRY(tar_.finish());
  OCIUNPACK_TRY(check_size(blob_->bytes_read(), true));
  state_ = State::kDraining;
  return Next::kAgain;
}

// Decodes into the slab until it is full or the stream ends. `waits`: input may come later.
Result<bool> LayerPass::fill(bool* waits) {
  while (slab_.size() < slab_.capacity() && !decoder_finished_) {
    if (decoder_ == nullptr || (input_left_.empty() && !input_ended_)) {
      OCIUNPACK_ASSIGN(const bool got, next_input());
      if (!got) {
        *waits = true;
        return true;
      }
      if (decoder_ == nullptr) continue;
    }
    const auto start = Clock::now();
    OCIUNPACK_ASSIGN(const DecodeStep step,
                     decoder_->decode(input_left_, input_ended_, slab_.space()));
    decode_ms_ += milliseconds_since(start);
    input_left_ = input_left_.subspan(step.consumed);
    slab_.set_size(slab_.size() + step.produced);
    decoder_finished_ = step.finished;
  }
  return true;
}

// Gets more compressed bytes; false when there are none yet. Chooses the decoder by the first ones.
Result<bool> LayerPass::next_input() {
  const auto start = Clock::now();
  OCIUNPACK_ASSIGN(BlobReader::Piece piece, blob_->read());
  read_ms_ += milliseconds_since(start);
  if (piece.kind == BlobReader::Piece::kNothingYet) return false;
  if (piece.kind == BlobReader::Piece::kEnd) {
    input_ended_ = true;
  } else {
    counters_->bytes_in.fetch_add(piece.chunk.bytes.size(), std::memory_order_relaxed);
    OCIUNPACK_TRY(check_size(blob_->bytes_read(), false));
    hash_blob(piece.chunk);
    input_ = std::move(piece.chunk);
    input_left_ = input_.bytes;
  }
  if (decoder_ != nullptr) return true;

  std::span<const uint8_t> seen = input_left_;
  if (!head_.empty() || (seen.size() < kDetectBytes && !input_ended_)) {
    // The first pieces of a stream may be tiny: gather them until the magic is whole.
    head_.insert(head_.end(), seen.begin(), seen.end());
    seen = head_;
    if (seen.size() < kDetectBytes && !input_ended_) return true;
  }
  OCIUNPACK_ASSIGN(const Compression compression, detect(seen));
  static constexpr const char* kNames[] = {"empty", "none", "gzip", "zstd"};
  result_.compression = kNames[static_cast<size_t>(compression)];
  DecodeOptions decode;
  decode.ignore_trailing_garbage = options_.ignore_trailing_garbage;
  decoder_ = make_decoder(compression, decode);
  result_.decoder = decoder_->name();
  if (!head_.empty()) {
    auto gathered = std::make_shared<std::vector<uint8_t>>(std::exchange(head_, {}));
    input_ = Chunk(*gathered, gathered);
    input_left_ = input_.bytes;
  }
  return true;
}

Status LayerPass::check_size(uint64_t so_far, bool at_end) const {
  if (!options_.size || (at_end ? so_far == *options_.size : so_far <= *options_.size)) return {};
  return input_error(Code::ERR_SIZE_MISMATCH, "read", "",
                     "the blob has " + std::string(at_end ? "" : "at least ") +
                         std::to_string(so_far) + " bytes, its descriptor says " +
                         std::to_string(*options_.size));
}

Status LayerPass::check_limits() const {
  const uint64_t out = counters_->bytes_out.load(std::memory_order_relaxed);
  const uint64_t in = blob_->bytes_read();
  if (out > options_.limits.max_bytes) {
    return input_error(Code::ERR_LIMIT_EXCEEDED, "decode", "",
                       "the layer has more than " + std::to_string(options_.limits.max_bytes) +
                           " uncompressed bytes (limit maxBytes)");
  }
  if (out > kRatioFromBytes &&
      static_cast<double>(out) > options_.limits.max_ratio * static_cast<double>(in)) {
    return input_error(Code::ERR_LIMIT_EXCEEDED, "decode", "",
                       std::to_string(out) + " bytes came out of " + std::to_string(in) +
                           ": more than " + std::to_string(options_.limits.max_ratio) +
                           " times as many (limit maxRatio)");
  }
  return {};
}

void LayerPass::hash_blob(const Chunk& chunk) {
  if (inline_) {
    const Timer timer(&hash_nanoseconds_);
    blob_hasher_->update(chunk.bytes);
    return;
  }
  post_to(blob_strand_, false, [self = shared_from_this(), chunk] {
    {
      const Timer timer(&self->hash_nanoseconds_);
      self->blob_hasher_->update(chunk.bytes);
    }
    self->drain_done(false, {});
  });
}

void LayerPass::hash_slab() {
  if (inline_) {
    const Timer timer(&hash_nanoseconds_);
    tar_hasher_->update(slab_.bytes());
    return;
  }
  post_to(tar_strand_, false, [self = shared_from_this(), slab = slab_] {
    {
      const Timer timer(&self->hash_nanoseconds_);
      self->tar_hasher_->update(slab.bytes());
    }
    self->drain_done(false, {});
  });
}

void LayerPass::post_drain(bool is_write, Task task) {
  outstanding_.fetch_add(1);
  if (is_write) writes_.fetch_add(1);
  Scheduler::instance().post(options_.group, TaskClass::kDrain, std::move(task));
}

void LayerPass::post_to(Strand& strand, bool is_write, Task task) {
  outstanding_.fetch_add(1);
  if (is_write) writes_.fetch_add(1);
  strand.post(std::move(task));
}

// The last thing that a drain task does, on any worker.
void LayerPass::drain_done(bool is_write, Status status) {
  if (!status.ok()) stop(std::move(status).error());
  if (is_write && writes_.fetch_sub(1) == 1 && waits_for_writes_.load()) wake();
  if (outstanding_.fetch_sub(1) == 1 && waits_for_all_.load()) wake();
}

// All is decoded, hashed and written.
Result<LayerPass::Next> LayerPass::drained() {
  OCIUNPACK_TRY(check_digests());
  OCIUNPACK_TRY(make_links());
  result_.size = blob_->bytes_read();
  result_.uncompressed_size = counters_->bytes_out.load();
  result_.counts.entries = tar_.entries();
  for (const Mark& mark : planner_->marks()) {
    ++(mark.name.empty() ? result_.counts.opaques : result_.counts.whiteouts);
  }
  cached_directory_.reset();
  cached_parent_ = kNoNode;
  state_ = State::kFinishing;
  if (directories_finished()) finish_directories();
  return Next::kAgain;
}

Status LayerPass::check_digests() {
  result_.digest = blob_hasher_->finish();
  result_.diff_id = tar_hasher_->finish();
  if (options_.digest && !(result_.digest == *options_.digest)) {
    return input_error(Code::ERR_DIGEST_MISMATCH, "digest", "",
                       "the blob's digest is " + result_.digest.to_string() +
                           ", its descriptor says " + options_.digest->to_string());
  }
  if (options_.diff_id && !(result_.diff_id == *options_.diff_id)) {
    return input_error(Code::ERR_DIFFID_MISMATCH, "diffID", "",
                       "the digest of the uncompressed tar is " + result_.diff_id.to_string() +
                           ", the image's config says " + options_.diff_id->to_string());
  }
  return {};
}

// Bad input may only mean that the blob is damaged: then that is the error, and what was seen in it
// the detail. A file is read to its end to know.
Error LayerPass::explain(Error error) {
  const bool about_input = error.error_number == 0 && error.code != Code::ERR_SIZE_MISMATCH &&
                           error.code != Code::ERR_DIGEST_MISMATCH &&
                           error.code != Code::ERR_DIFFID_MISMATCH;
  if (!about_input || !options_.digest || push_ != nullptr || !blob_) return error;
  auto hasher = Hasher::create(options_.digest->algorithm);
  const auto* path = std::get_if<PathSource>(&options_.source);
  if (path == nullptr || !hasher.ok()) return error;
  auto file = FileSource::open(path->path, path->offset, path->length);
  if (!file.ok()) return error;
  std::vector<uint8_t> buffer(BlobReader::kBufferBytes);
  for (;;) {
    if (stopped()) return error;
    const auto got = file.value().read(buffer);
    if (!got.ok()) return error;
    if (got.value() == 0) break;
    hasher.value().update({buffer.data(), got.value()});
  }
  const Digest found = hasher.value().finish();
  if (found == *options_.digest) return error;
  return input_error(Code::ERR_DIGEST_MISMATCH, "digest", error.path,
                     "the blob's digest is " + found.to_string() + ", its descriptor says " +
                         options_.digest->to_string() + " (" + error.message() + ")");
}

void LayerPass::finish_directories() {
  constexpr size_t kDirectoriesPerTask = 256;
  std::vector<NodeId> directories;
  const auto post = [this](std::vector<NodeId> ids) {
    post_drain(false, [self = shared_from_this(), ids = std::move(ids)] {
      Status status;
      {
        const Timer timer(&self->finish_nanoseconds_);
        for (const NodeId id : ids) {
          if (self->stopped()) break;
          status = self->finish_directory_now(id);
          if (!status.ok()) break;
        }
      }
      self->drain_done(false, std::move(status));
    });
  };
  for (NodeId id = 1; id < tree_->node_count(); ++id) {
    if (!tree_->is_directory(id) || tree_->node(id).implicit) continue;
    directories.push_back(id);
    if (directories.size() == kDirectoriesPerTask) post(std::exchange(directories, {}));
  }
  if (!tree_->node(kRootNode).implicit) directories.push_back(kRootNode);
  if (!directories.empty()) post(std::move(directories));
}

void LayerPass::end() {
  state_ = State::kEnded;
  streamed_.reset();
  streamed_strand_.reset();
  batch_.reset();
  input_ = {};
  slab_.reset();
  {
    const std::lock_guard lock(slab_mutex_);
    granted_slab_.reset();
  }
  blob_.reset();
  Status status;
  {
    const std::lock_guard lock(error_mutex_);
    if (error_) status = *error_;
  }
  if (const auto callback = std::exchange(on_end_, nullptr)) callback(std::move(status));
}

}  // namespace ociunpack
