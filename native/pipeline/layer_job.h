// LayerJob: one layer on its way from blob to directory. start() decodes, checks and writes it into
// its staging directory, without knowing the layers below; settle() finishes what depends on them.
// Its stages, threads and teardown are described in docs/threads.md.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "base/result.h"
#include "pipeline/layer_options.h"
#include "pipeline/layer_pass.h"
#include "source/source.h"
#include "tree/settle.h"

namespace ociunpack {

class LayerJob : public std::enable_shared_from_this<LayerJob> {
 public:
  using DoneCallback = std::function<void(Result<LayerResult>)>;
  using SettleCallback = std::function<void(Result<SettleResult>)>;

  // Starts at once. `on_done` is called once, on a worker thread, when all work of the first pass
  // has ended, well or not: no thread touches the staging directory after that (until settle()).
  static std::shared_ptr<LayerJob> start(LayerOptions options, DoneCallback on_done);

  // Once, after on_done was called without an error, and after the layer below has settled.
  // `below` is null for a bottom layer. `on_settled` is called once, on a worker thread.
  void settle(std::shared_ptr<const TreeView> below, SettleOptions options,
              SettleCallback on_settled);

  LayerProgress progress() const { return counters_.sample(); }  // any thread

  // Any thread, any time. What runs ends within one slab; the callback then gets ERR_ABORTED.
  void cancel();

  // Lets go of the descriptors and memory of the layer, which would keep its file system busy; once
  // nothing runs and no settle() will follow. Ignored while something runs.
  void close();

  // Where a stream's bytes are pushed to; null unless the source is a StreamSource.
  PushSource* push_source() { return push_source_.get(); }

 private:
  struct Settling {
    std::shared_ptr<const TreeView> below;
    SettleOptions options;
    SettleCallback on_settled;
    bool replanned = false;
  };

  explicit LayerJob(LayerOptions options);
  void start_pass(std::shared_ptr<const TreeView> lower, LayerPass::EndCallback on_end);
  void run_settle(std::shared_ptr<Settling> settling);
  void replan(std::shared_ptr<Settling> settling, std::shared_ptr<const TreeView> lower);
  Result<SettleResult> finish_settle(const Settling& settling, SettlePlan plan);
  Status save_tree(const Settling& settling) const;
  SettleResult settled(const Settling& settling, SettlePlan plan, std::string directory,
                       Clock::time_point start);
  // Holds mutex_ when it is called, and not when it returns.
  void let_go(std::unique_lock<std::mutex> lock);
  bool cancelled();
  void set_busy(bool busy);
  bool can_replay() const;

  LayerOptions options_;
  UniqueFd fd_;  // of a FdSource
  std::unique_ptr<PushSource> push_source_;
  bool stream_used_up_ = false;  // a stream's bytes have been read once
  PassCounters counters_;
  NoteSink notes_;
  std::mutex mutex_;  // guards pass_ (the pointer), fd_, cancelled_ and busy_
  bool cancelled_ = false;
  bool busy_ = true;
  std::shared_ptr<LayerPass> pass_;
};

}  // namespace ociunpack
