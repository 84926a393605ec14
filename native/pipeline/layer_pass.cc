// The decode strand of a pass: reading, decoding, hashing, and the state machine that never blocks.
// What happens to the entries is in layer_pass_entries.cc.
#include "pipeline/layer_pass.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "apply/prepare_root.h"

namespace ociunpack {
namespace {

// Adds the time of its scope to a counter of nanoseconds; any thread.
class Timer {
 public:
  explicit Timer(std::atomic<uint64_t>* total) : total_(total), start_(Clock::now()) {}
  ~Timer() { total_->fetch_add(nanoseconds_since(start_), std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t>* total_;
  Clock::time_point start_;
};

// Layers below this are done on one worker: handing over would cost more than it wins.
constexpr uint64_t kSmallBlobBytes = 1 << 20;
// The ratio of a small layer says nothing (a few zero files): SEMANTICS.md's limit counts from
// here.
constexpr uint64_t kRatioFromBytes = 64 << 20;

// Segments that are decoded ahead of time hold about 1 MiB of blob each; this many keep up with the
// parsing of one layer, which is not parallel.
constexpr size_t kMostAhead = 8;

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
      result_.times.hash =
          static_cast<double>(blob_hash_->nanoseconds() + tar_hash_->nanoseconds()) / 1e6;
      result_.times.create = static_cast<double>(create_nanoseconds_.load()) / 1e6;
      result_.times.write = static_cast<double>(write_nanoseconds_.load()) / 1e6;
      result_.times.finish = static_cast<double>(finish_nanoseconds_.load()) / 1e6;
      result_.times.read = stream_->read_ms();
      result_.times.decode = stream_->decode_ms();
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
  open_stream();
  OCIUNPACK_ASSIGN(Hasher blob_hasher,
                   Hasher::create(options_.digest ? options_.digest->algorithm : "sha256"));
  OCIUNPACK_ASSIGN(Hasher tar_hasher,
                   Hasher::create(options_.diff_id ? options_.diff_id->algorithm : "sha256"));
  blob_hash_.emplace(Scheduler::instance(), options_.group, std::move(blob_hasher));
  tar_hash_.emplace(Scheduler::instance(), options_.group, std::move(tar_hasher));
  context_.format = options_.format;
  context_.policies = options_.policies;
  context_.notes = notes_;
  context_.euid = ::geteuid();
  context_.egid = ::getegid();
  context_.umask_private = Scheduler::instance().umask_private();
  if (options_.count_usage) context_.usage = &usage_;
  if (dry()) return {};
  directories_ = std::make_unique<DirCache>();
  OCIUNPACK_ASSIGN(DirRef root, prepare_root(context_, options_.directory));
  OCIUNPACK_TRY(probe_root(*root, &context_));
  directories_->put(kRootNode, std::move(root));
  return {};
}

// One slab: what is left to parse of the one before, then the next one is hashed and parsed.
Result<LayerPass::Next> LayerPass::decode_slab() {
  if (waiting_step_ == nullptr && unparsed_.empty()) {
    OCIUNPACK_ASSIGN(const TarStream::Got got, stream_->next(&slab_));
    if (got == TarStream::Got::kWait) return Next::kWait;
    if (got == TarStream::Got::kEnd) {
      OCIUNPACK_TRY(tar_.finish());
      OCIUNPACK_TRY(check_size(blob_->bytes_read(), true));
      state_ = State::kDraining;
      return Next::kAgain;
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
  if (waiting_step_ == nullptr) return Next::kAgain;
  // As in decode_task(): the flag before the count.
  waits_for_writes_.store(true);
  return writes_.load() == 0 ? Next::kAgain : Next::kWait;
}

// An empty slab; false when the memory budget is used up: then one is asked for, and wakes us.
bool LayerPass::acquire_slab(SlabRef* slab) {
  {
    const std::lock_guard lock(slab_mutex_);
    *slab = std::move(granted_slab_);
    if (*slab || slab_asked_) return static_cast<bool>(*slab);
  }
  *slab = SlabPool::instance().try_acquire();
  if (*slab) return true;
  {
    const std::lock_guard lock(slab_mutex_);
    slab_asked_ = true;
  }
  SlabPool::instance().when_available([weak = weak_from_this()](SlabRef granted) {
    const auto self = weak.lock();
    if (!self) return;
    if (!granted) {
      self->stop(input_error(Code::ERR_IO, "malloc", "", "no memory for a slab"));
      return;
    }
    {
      const std::lock_guard lock(self->slab_mutex_);
      self->granted_slab_ = std::move(granted);
      self->slab_asked_ = false;
    }
    self->wake();
  });
  return false;
}

Status LayerPass::take_piece(const Chunk& chunk) {
  counters_->bytes_in.fetch_add(chunk.bytes.size(), std::memory_order_relaxed);
  OCIUNPACK_TRY(check_size(blob_->bytes_read(), false));
  hash_blob(chunk);
  return {};
}

void LayerPass::open_stream() {
  DecodeOptions decode;
  decode.ignore_trailing_garbage = options_.ignore_trailing_garbage;
  TarStream::Hooks hooks;
  hooks.on_piece = [this](const Chunk& chunk) { return take_piece(chunk); };
  hooks.acquire = [this](SlabRef* slab) { return acquire_slab(slab); };
  // The queue may be called by a task of its own: that holds the pass.
  hooks.segments.post = [this](Task task) {
    outstanding_.fetch_add(1);
    // As a decode of the least weight: behind every layer that has no slab to work on.
    Scheduler::instance().post(
        options_.group, TaskClass::kDecode,
        [self = shared_from_this(), boxed = std::make_shared<Task>(std::move(task))] {
          (*boxed)();
          boxed->reset();
          self->drain_done(false, {});
        });
  };
  hooks.segments.wake = [this] { wake(); };
  hooks.segments.stopped = [this] { return stopped(); };
  const size_t ahead =
      inline_ ? 0 : std::min<size_t>(options_.group->concurrency() - 1, kMostAhead);
  stream_.emplace(&*blob_, decode, ahead, std::move(hooks));
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
  if (inline_) return blob_hash_->update(chunk.bytes);
  outstanding_.fetch_add(1);
  blob_hash_->add(chunk.bytes, [self = shared_from_this(), owner = chunk.owner] {
    self->drain_done(false, {});
  });
}

void LayerPass::hash_slab() {
  if (inline_) return tar_hash_->update(slab_.bytes());
  outstanding_.fetch_add(1);
  tar_hash_->add(slab_.bytes(),
                 [self = shared_from_this(), slab = slab_] { self->drain_done(false, {}); });
}

void LayerPass::post_drain(bool is_write, Task task, Scheduler::Place place) {
  outstanding_.fetch_add(1);
  if (is_write) writes_.fetch_add(1);
  Scheduler::instance().post_to(place, options_.group, std::move(task));
}

void LayerPass::post_write(Strand& strand, Task task) {
  outstanding_.fetch_add(1);
  writes_.fetch_add(1);
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
  static constexpr const char* kNames[] = {"empty", "none", "gzip", "zstd"};
  result_.compression = kNames[static_cast<size_t>(stream_->compression())];
  result_.decoder = stream_->decoder();
  result_.size = blob_->bytes_read();
  result_.uncompressed_size = counters_->bytes_out.load();
  result_.counts.entries = tar_.entries();
  for (const Mark& mark : planner_->marks()) {
    ++(mark.name.empty() ? result_.counts.opaques : result_.counts.whiteouts);
  }
  cached_directory_.reset();
  cached_parent_ = kNoNode;
  state_ = State::kFinishing;
  if (dry()) {
    OCIUNPACK_TRY(check_directories());
  } else if (directories_finished() && !planner_->doubt()) {
    // After a doubt only a part of the layer was planned: what it says of the root, which stays
    // when the layer is planned anew, would be that of an entry in the middle.
    finish_directories();
  }
  return Next::kAgain;
}

Status LayerPass::check_digests() {
  result_.digest = blob_hash_->finish();
  result_.diff_id = tar_hash_->finish();
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
  for (const NodeId id : tree_->directories()) {
    if (id == kRootNode || tree_->node(id).implicit) continue;
    directories.push_back(id);
    if (directories.size() == kDirectoriesPerTask) post(std::exchange(directories, {}));
  }
  if (!tree_->node(kRootNode).implicit) directories.push_back(kRootNode);
  if (!directories.empty()) post(std::move(directories));
}

Status LayerPass::note_directory(NodeId id, const DirHandle& own) {
  return context_.usage == nullptr ? Status() : usage_.set_directory(id, own);
}

Result<std::optional<DiskUsage>> LayerPass::usage() {
  if (context_.usage == nullptr) return std::optional<DiskUsage>();
  for (const NodeId id : tree_->directories()) {
    if (usage_.has_directory(id)) continue;
    // Its metadata were not set: a root that nothing names.
    OCIUNPACK_ASSIGN(const DirRef own, directory(id));
    OCIUNPACK_TRY(usage_.set_directory(id, *own));
  }
  return usage_.sum();
}

void LayerPass::release() {
  directories_.reset();
  cached_directory_.reset();
  file_ = {};
}

void LayerPass::end() {
  state_ = State::kEnded;
  streamed_.reset();
  streamed_strand_.reset();
  batch_.reset();
  slab_.reset();
  {
    const std::lock_guard lock(slab_mutex_);
    granted_slab_.reset();
  }
  stream_.reset();
  blob_.reset();
  Status status;
  {
    const std::lock_guard lock(error_mutex_);
    if (error_) status = *error_;
  }
  if (const auto callback = std::exchange(on_end_, nullptr)) callback(std::move(status));
}

}  // namespace ociunpack
