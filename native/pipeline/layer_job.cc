#include "pipeline/layer_job.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "apply/flat_merge.h"
#include "apply/remove.h"
#include "base/clock.h"
#include "pipeline/settle_stage.h"
#include "tree/index.h"

namespace ociunpack {
namespace {

Error aborted() { return input_error(Code::ERR_ABORTED, "unpack", "", "it was cancelled"); }

Result<UniqueFd> open_path(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return system_error(errno, "open", path);
  return fd;
}

}  // namespace

LayerJob::LayerJob(LayerOptions options) : options_(std::move(options)) {
  if (std::holds_alternative<StreamSource>(options_.source)) {
    push_source_ = std::make_unique<PushSource>();
  }
  if (auto* source = std::get_if<FdSource>(&options_.source)) {
    // The caller may close its own as soon as start() has returned.
    fd_ = UniqueFd(::fcntl(source->fd, F_DUPFD_CLOEXEC, 0));
    source->fd = fd_.get();
  }
}

// Whether the bytes of the layer can be read a second time.
bool LayerJob::can_replay() const {
  if (const auto* stream = std::get_if<StreamSource>(&options_.source)) {
    return stream->replay.has_value();
  }
  const auto* fd = std::get_if<FdSource>(&options_.source);
  return fd == nullptr || ::lseek(fd->fd, 0, SEEK_CUR) >= 0;
}

std::shared_ptr<LayerJob> LayerJob::start(LayerOptions options, DoneCallback on_done) {
  std::shared_ptr<LayerJob> job(new LayerJob(std::move(options)));
  job->start_pass(nullptr, [job, on_done = std::move(on_done)](Status status) {
    // What is pushed from now on is dropped: a producer must not wait for a reader that has gone.
    if (job->push_source_) job->push_source_->close();
    job->stream_used_up_ = true;
    auto result = status.ok() ? Result<LayerResult>(job->pass_->result())
                              : Result<LayerResult>(std::move(status).error());
    job->set_busy(false);
    on_done(std::move(result));
  });
  return job;
}

void LayerJob::start_pass(std::shared_ptr<const TreeView> lower, LayerPass::EndCallback on_end) {
  auto pass = std::make_shared<LayerPass>(options_, stream_used_up_ ? nullptr : push_source_.get(),
                                          &counters_, &notes_, std::move(lower), std::move(on_end));
  bool cancelled;
  {
    const std::lock_guard lock(mutex_);
    pass_ = pass;
    cancelled = cancelled_;
  }
  if (cancelled) pass->stop(aborted());
  pass->start();
}

void LayerJob::cancel() {
  std::shared_ptr<LayerPass> pass;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    pass = pass_;
  }
  if (pass) pass->stop(aborted());
}

void LayerJob::close() {
  std::unique_lock lock(mutex_);
  if (!busy_) let_go(std::move(lock));
}

void LayerJob::let_go(std::unique_lock<std::mutex> lock) {
  const std::shared_ptr<LayerPass> pass = std::exchange(pass_, nullptr);
  const UniqueFd fd = std::move(fd_);
  lock.unlock();
  if (pass) pass->release();
}

void LayerJob::set_busy(bool busy) {
  const std::lock_guard lock(mutex_);
  busy_ = busy;
}

bool LayerJob::cancelled() {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

void LayerJob::settle(std::shared_ptr<const TreeView> below, SettleOptions options,
                      SettleCallback on_settled) {
  auto settling = std::make_shared<Settling>();
  settling->below = std::move(below);
  settling->options = std::move(options);
  settling->on_settled = [self = shared_from_this(),
                          on_settled = std::move(on_settled)](Result<SettleResult> result) {
    self->set_busy(false);
    on_settled(std::move(result));
  };
  {
    const std::lock_guard lock(mutex_);
    busy_ = true;
    if (!pass_) cancelled_ = true;  // closed
  }
  Scheduler::instance().post(options_.group, TaskClass::kDrain,
                             [self = shared_from_this(), settling] { self->run_settle(settling); });
}

void LayerJob::run_settle(std::shared_ptr<Settling> settling) {
  if (cancelled()) {
    settling->on_settled(aborted());
    return;
  }
  Settler settler(pass_->tree().get(), &pass_->planner(), settling->below,
                  options_.plan.symlink_parents, settling->replanned);
  auto plan = settler.run();
  if (!plan.ok()) {
    settling->on_settled(std::move(plan).error());
  } else if (plan.value().replan) {
    replan(std::move(settling), settler.lower());
  } else {
    auto result = finish_settle(*settling, std::move(plan).value());
    // Here and now, while other workers are busy with other layers: at the end of the whole call
    // the thread that closes the jobs would have to close some thousand directories alone.
    let_go(std::unique_lock(mutex_));
    settling->on_settled(std::move(result));
  }
}

// The first pass took a path for a directory (or for nothing, on the way to a hardlink's target)
// where the lower layers have a symlink. The layer is decoded once more, now with the lower layers
// known to the planner.
void LayerJob::replan(std::shared_ptr<Settling> settling, std::shared_ptr<const TreeView> lower) {
  if (!can_replay()) {
    settling->on_settled(input_error(
        Code::ERR_UNSUPPORTED, "settle", "",
        "the path of some entry, or of a hardlink's target, leads through a symlink of a lower "
        "layer, so the layer must be read twice, which this stream cannot be"));
    return;
  }
  if (!options_.dry) {
    auto root = pass_->directory(kRootNode);
    Status cleared = root.ok() ? remove_children(*root.value()) : Status(std::move(root).error());
    if (!cleared.ok()) {
      settling->on_settled(std::move(cleared).error());
      return;
    }
  }
  notes_.take();
  settling->replanned = true;
  start_pass(std::move(lower), [self = shared_from_this(), settling](Status status) {
    if (!status.ok()) {
      settling->on_settled(std::move(status).error());
      return;
    }
    self->run_settle(settling);
  });
}

Result<SettleResult> LayerJob::finish_settle(const Settling& settling, SettlePlan plan) {
  const auto start = Clock::now();
  if (options_.dry) {
    OCIUNPACK_TRY(save_tree(settling));
    return settled(settling, std::move(plan), {}, start);
  }
  UniqueFd flat_root;
  if (options_.format == Format::kFlat && !settling.options.flat_root.empty()) {
    OCIUNPACK_ASSIGN(flat_root, open_path(settling.options.flat_root));
  }
  OCIUNPACK_TRY(carry_out_settle(*pass_, plan, flat_root.get()));
  if (flat_root.valid()) {
    OCIUNPACK_TRY(merge_flat(pass_->context(), *pass_->tree(), options_.directory,
                             settling.below.get(), settling.options.flat_root));
  }
  OCIUNPACK_TRY(save_tree(settling));
  OCIUNPACK_ASSIGN(const std::optional<DiskUsage> usage, pass_->usage());
  std::string directory = flat_root.valid() ? settling.options.flat_root : options_.directory;
  SettleResult result = settled(settling, std::move(plan), std::move(directory), start);
  result.usage = usage;
  return result;
}

Status LayerJob::save_tree(const Settling& settling) const {
  if (settling.options.index_path.empty()) return {};
  return save_index(*pass_->tree(), settling.options.index_path);
}

SettleResult LayerJob::settled(const Settling& settling, SettlePlan plan, std::string directory,
                               Clock::time_point start) {
  SettleResult result;
  result.tree = std::make_shared<TreeView>(pass_->tree(), std::move(directory), settling.below);
  result.replanned = settling.replanned;
  result.layer = pass_->result();
  result.notes = notes_.take();
  for (Note& note : plan.notes) result.notes.push_back(std::move(note));
  result.layer.times.settle = milliseconds_since(start);
  return result;
}

}  // namespace ociunpack
