// LayerPass: decodes a layer once, from its first byte to its last, into a staging directory.
//
// One strand (the decode strand) reads, decodes, parses, plans and makes directories, a slab at a
// time. Beside it run, on any worker: the blob's hash and the tar's hash (each in order, by the
// group's hash queue) and the writers (a task per slab, in any order, and a strand for each file
// that spans slabs). The decode strand never blocks: it returns when it must wait, and is posted
// again by what it waits for. Everything without a comment belongs to the decode strand.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "apply/context.h"
#include "apply/dir_cache.h"
#include "apply/usage_count.h"
#include "base/clock.h"
#include "base/result.h"
#include "digest/digest.h"
#include "pipeline/blob_reader.h"
#include "pipeline/hash_queue.h"
#include "pipeline/layer_options.h"
#include "pipeline/slab.h"
#include "pipeline/strand.h"
#include "pipeline/tar_stream.h"
#include "pipeline/write_batch.h"
#include "tar/reader.h"
#include "tree/planner.h"
#include "tree/tree.h"

namespace ociunpack {

// Shared by the passes of a job; any thread.
struct PassCounters {
  std::atomic<uint64_t> bytes_in{0};
  std::atomic<uint64_t> bytes_out{0};
  std::atomic<uint64_t> entries{0};
  LayerProgress sample() const { return {bytes_in.load(), bytes_out.load(), entries.load()}; }
};

// What the tree knows of an inode, for the functions that write it.
Attributes attributes_of(const Inode& inode);

class LayerPass : public std::enable_shared_from_this<LayerPass> {
 public:
  using EndCallback = std::function<void(Status)>;

  // `options`, `push`, `counters` and `notes` must outlive the pass. `lower` as PlanOptions::lower.
  LayerPass(const LayerOptions& options, PushSource* push, PassCounters* counters, NoteSink* notes,
            std::shared_ptr<const TreeView> lower, EndCallback on_end);

  // Posts the first task. `on_end` is called once, on a worker, when nothing of the pass runs or
  // will run any more.
  void start();

  // Any thread. The first error counts; on_end gets it.
  void stop(Error error);

  // After the end, and when nothing of what follows is used any more: closes all descriptors now,
  // not when the last task that knows this pass is destroyed on its worker.
  void release();

  // Nothing is made or written, and there are no directories; the tree alone comes out of it.
  bool dry() const { return options_.dry; }

  // After the end:
  const std::shared_ptr<LayerTree>& tree() const { return tree_; }
  Planner& planner() { return *planner_; }
  DirCache& directories() { return *directories_; }
  const ApplyContext& context() const { return context_; }
  const LayerResult& result() const { return result_; }
  // Sets the metadata of a directory that exists. Any thread, after the decoding has ended.
  Status finish_directory_now(NodeId id);
  // Whether the metadata of named directories has been set already.
  bool directories_finished() const { return context_.euid == 0; }
  Result<DirRef> directory(NodeId id);
  // Nothing where it is not wanted, or not known. After the settling, but for note_directory():
  // that is told of a directory after its last change.
  Result<std::optional<DiskUsage>> usage();
  Status note_directory(NodeId id, const DirHandle& own);
  void lose_usage() { usage_.lose(); }

 private:
  enum class Next : uint8_t { kAgain, kWait, kEnd };
  enum class State : uint8_t { kOpening, kDecoding, kDraining, kFinishing, kEnded };

  void wake();
  void decode_task();
  Result<Next> advance();
  Status open();
  Result<Next> decode_slab();
  void open_stream();
  bool acquire_slab(SlabRef* slab);
  Status take_piece(const Chunk& chunk);
  Status check_size(uint64_t so_far, bool at_end) const;
  Status check_limits() const;
  void hash_blob(const Chunk& chunk);
  void hash_slab();
  Status parse();
  void count(const Entry& entry);
  Status take_entry(const Entry& entry);
  Status carry_out(const PlanStep& step);
  void take_data(const TarReader::Event& event);
  void end_entry();
  void flush_batch();
  void count_write_time(uint64_t nanoseconds);
  void stream_open_file();
  void write_streamed(bool last);
  CreateOp make_op(NodeId id, DirRef directory) const;
  Status make_links();
  Result<Next> drained();
  Status check_digests();
  void finish_directories();
  Status check_directories() const;
  Status check_storable(NodeId id) const;
  Status carry_out_dry(const PlanStep& step);
  Result<DirRef> parent_directory(NodeId id);
  void post_drain(bool is_write, Task task, Scheduler::Place place = nullptr);
  void post_write(Strand& strand, Task task);
  void drain_done(bool is_write, Status status);
  void end();
  Error explain(Error error);
  bool stopped() const { return stop_.load(std::memory_order_acquire); }

  const LayerOptions& options_;
  PushSource* push_;
  PassCounters* counters_;
  NoteSink* notes_;
  std::shared_ptr<const TreeView> lower_;
  EndCallback on_end_;
  const bool inline_;  // everything on the decode strand: one worker, or a small layer

  Strand decode_strand_;
  std::atomic<bool> posted_{false};  // a decode task is queued
  std::atomic<bool> stop_{false};
  std::mutex error_mutex_;  // guards error_
  std::optional<Error> error_;
  std::atomic<size_t> writes_{0};       // batches and parts of files that are not written yet
  std::atomic<size_t> outstanding_{0};  // those, and hashing
  std::atomic<bool> waits_for_writes_{false};
  std::atomic<bool> waits_for_all_{false};
  std::mutex slab_mutex_;  // guards granted_slab_, slab_asked_
  SlabRef granted_slab_;
  bool slab_asked_ = false;

  State state_ = State::kOpening;
  std::optional<BlobReader> blob_;
  std::optional<HashStream> blob_hash_;
  std::optional<HashStream> tar_hash_;
  std::optional<TarStream> stream_;
  SlabRef slab_;
  std::span<const uint8_t> unparsed_;
  TarReader tar_;
  std::shared_ptr<LayerTree> tree_;
  std::unique_ptr<Planner> planner_;
  std::unique_ptr<DirCache> directories_;
  ApplyContext context_;
  UsageCount usage_;

  const PlanStep* waiting_step_ = nullptr;  // waits until all writes are done
  std::unique_ptr<WriteBatch> batch_;
  bool in_file_ = false;
  CreateOp file_;                // the open file, while its content is in this slab only
  std::vector<Extent> extents_;  // where the open file's content goes; one extent if not sparse
  size_t extent_ = 0;
  uint64_t extent_done_ = 0;
  std::shared_ptr<StreamedFile> streamed_;  // the open file, once it goes on in the next slab
  std::shared_ptr<Strand> streamed_strand_;
  std::vector<DataPiece> streamed_pieces_;
  ContentChecksum dry_content_;  // of the open file of a dry pass
  struct Link {
    NodeId source;
    NodeId node;
  };
  std::vector<Link> links_;
  NodeId cached_parent_ = kNoNode;
  DirRef cached_directory_;
  std::atomic<uint64_t> create_nanoseconds_{0};
  std::atomic<uint64_t> write_nanoseconds_{0};
  std::atomic<uint64_t> finish_nanoseconds_{0};
  Clock::time_point started_;
  double parse_ms_ = 0;
  LayerResult result_;
};

}  // namespace ociunpack
