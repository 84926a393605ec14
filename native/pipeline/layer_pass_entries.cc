// What a pass does with the entries: plans them, makes directories at once, gathers everything else
// into batches for the writers. Belongs to the decode strand, but for what the posted tasks do.
#include <algorithm>
#include <utility>

#include "apply/directory.h"
#include "apply/link.h"
#include "apply/metadata.h"
#include "apply/remove.h"
#include "pipeline/layer_pass.h"

namespace ociunpack {
Result<DirRef> LayerPass::directory(NodeId id) { return directories_->get(*tree_, id); }

Result<DirRef> LayerPass::parent_directory(NodeId id) {
  const NodeId parent = tree_->node(id).parent;
  if (parent != cached_parent_) {
    OCIUNPACK_ASSIGN(cached_directory_, directory(parent));
    cached_parent_ = parent;
  }
  return cached_directory_;
}

// Parses what is left of the slab. Returns with waiting_step_ set when an entry must wait for the
// writers, else when the slab is used up.
Status LayerPass::parse() {
  if (waiting_step_ != nullptr) {
    if (writes_.load() > 0) return {};
    waits_for_writes_.store(false);
    OCIUNPACK_TRY(carry_out(*std::exchange(waiting_step_, nullptr)));
  }
  for (;;) {
    if (stopped()) return {};
    OCIUNPACK_ASSIGN(const TarReader::Event event, tar_.next(&unparsed_));
    switch (event.kind) {
      case TarReader::Event::kEntry:
        OCIUNPACK_TRY(take_entry(*event.entry));
        if (waiting_step_ != nullptr) return {};
        break;
      case TarReader::Event::kData:
        take_data(event);
        break;
      case TarReader::Event::kEntryEnd:
        end_entry();
        break;
      case TarReader::Event::kNeedMore:
        if (in_file_ && !dry()) stream_open_file();
        flush_batch();
        slab_.reset();
        return {};
      case TarReader::Event::kEnd:
        break;
    }
  }
}

void LayerPass::count(const Entry& entry) {
  switch (entry.type) {
    case EntryType::kFile:
      ++result_.counts.files;
      result_.counts.bytes += entry.size;
      break;
    case EntryType::kDirectory:
      ++result_.counts.directories;
      break;
    case EntryType::kSymlink:
      ++result_.counts.symlinks;
      break;
    case EntryType::kHardlink:
      ++result_.counts.hardlinks;
      break;
    case EntryType::kCharDevice:
    case EntryType::kBlockDevice:
      ++result_.counts.devices;
      break;
    case EntryType::kFifo:
      ++result_.counts.fifos;
      break;
  }
}

Status LayerPass::take_entry(const Entry& entry) {
  OCIUNPACK_ASSIGN(const PlanStep* step, planner_->add(entry));
  // Whiteouts and markers are counted at the end, as what they mean.
  if (step->kind != PlanStep::Kind::kSkip) count(entry);
  if (step->kind == PlanStep::Kind::kCreate) {
    extents_.clear();
    if (entry.has_sparse_map) {
      extents_ = entry.sparse_map;
    } else {
      extents_.push_back({0, entry.body_size});
    }
    extent_ = 0;
    extent_done_ = 0;
  }
  if (step->removed == kNoNode) return carry_out(*step);
  // What is to be removed may still be written, or be the source of a link that is not made yet.
  flush_batch();
  waiting_step_ = step;
  if (writes_.load() > 0) return {};
  return carry_out(*std::exchange(waiting_step_, nullptr));
}

Status LayerPass::carry_out(const PlanStep& step) {
  if (dry()) return carry_out_dry(step);
  if (step.removed != kNoNode) {
    OCIUNPACK_TRY(make_links());
    cached_parent_ = kNoNode;
    OCIUNPACK_ASSIGN(const DirRef parent, parent_directory(step.removed));
    OCIUNPACK_TRY(remove_tree(*parent, tree_->node(step.removed).name));
    lose_usage();
    for (const NodeId id : step.dead_directories) directories_->erase(id);
    cached_parent_ = kNoNode;
  }
  for (const NodeId id : step.made_directories) {
    OCIUNPACK_ASSIGN(const DirRef parent, parent_directory(id));
    OCIUNPACK_ASSIGN(DirRef made, make_directory(context_, *parent, tree_->node(id).name));
    directories_->put(id, std::move(made));
  }
  if (step.kind == PlanStep::Kind::kLink) {
    links_.push_back({step.link_source, step.node});
    return {};
  }
  if (step.kind != PlanStep::Kind::kCreate) return {};

  OCIUNPACK_ASSIGN(DirRef parent, parent_directory(step.node));
  if (!batch_) batch_ = std::make_unique<WriteBatch>();
  Inode& inode = tree_->inode_of(step.node);
  if (inode.type == NodeType::kFile) inode.checksum = tree_->new_checksum();
  CreateOp op = make_op(step.node, std::move(parent));
  if (op.type == NodeType::kFile) {
    file_ = std::move(op);
    file_.first_piece = batch_->piece_count();
    in_file_ = true;
  } else {
    batch_->add_op() = std::move(op);
  }
  return {};
}

// What a writer would refuse or note is refused or noted here; the content is summed up as it
// comes.
Status LayerPass::carry_out_dry(const PlanStep& step) {
  if (step.kind != PlanStep::Kind::kCreate) return {};
  Inode& inode = tree_->inode_of(step.node);
  const bool is_device =
      inode.type == NodeType::kCharDevice || inode.type == NodeType::kBlockDevice;
  if (is_device)
    OCIUNPACK_TRY(check_device(context_, tree_->path(step.node), inode.dev_major, inode.dev_minor));
  OCIUNPACK_TRY(check_storable(step.node));
  if (inode.type != NodeType::kFile) return {};
  inode.checksum = tree_->new_checksum();
  file_.size = inode.size;
  file_.checksum = inode.checksum;
  dry_content_ = {};
  in_file_ = true;
  return {};
}

Status LayerPass::check_storable(NodeId id) const {
  const Inode& inode = tree_->inode_of(id);
  const bool mapped = context_.policies.ownership == Ownership::kMap;
  if (inode.xattrs.empty() && !mapped) return {};
  return check_attributes(context_, tree_->path(id), attributes_of(inode));
}

// As finish_directories(), but that there are none.
Status LayerPass::check_directories() const {
  for (const NodeId id : tree_->directories()) {
    if (tree_->node(id).implicit) continue;
    OCIUNPACK_TRY(check_storable(id));
  }
  return {};
}

CreateOp LayerPass::make_op(NodeId id, DirRef directory) const {
  const Inode& inode = tree_->inode_of(id);
  CreateOp op;
  op.directory = std::move(directory);
  op.name = tree_->node(id).name;
  op.type = inode.type;
  op.attributes = attributes_of(inode);
  op.target = inode.target;
  op.dev_major = inode.dev_major;
  op.dev_minor = inode.dev_minor;
  op.size = inode.size;
  op.checksum = inode.checksum;
  return op;
}

// Data of an entry that is no file (a hardlink's body, say) is only consumed.
void LayerPass::take_data(const TarReader::Event& event) {
  if (!in_file_) return;
  const uint8_t* data = event.data;
  size_t left = event.size;
  while (left > 0 && extent_ < extents_.size()) {
    const Extent& extent = extents_[extent_];
    const uint64_t room = extent.length - extent_done_;
    if (room == 0) {
      ++extent_;
      extent_done_ = 0;
      continue;
    }
    const size_t size = static_cast<size_t>(std::min<uint64_t>(left, room));
    const DataPiece piece{data, size, extent.offset + extent_done_};
    if (dry()) {
      dry_content_.add(piece.file_offset, {piece.data, piece.size});
    } else if (streamed_) {
      streamed_pieces_.push_back(piece);
    } else {
      batch_->hold(slab_);
      batch_->add_piece(piece);
    }
    extent_done_ += size;
    data += size;
    left -= size;
  }
}

void LayerPass::end_entry() {
  if (!in_file_) return;
  in_file_ = false;
  if (dry()) {
    *file_.checksum = dry_content_.finish(file_.size);
    return;
  }
  if (streamed_) {
    write_streamed(/*last=*/true);
    streamed_.reset();
    streamed_strand_.reset();
    return;
  }
  file_.pieces = batch_->piece_count() - file_.first_piece;
  batch_->add_op() = std::move(file_);
}

// The slab ends, the open file does not: from here on it is written by a strand of its own.
void LayerPass::stream_open_file() {
  if (!streamed_) {
    streamed_pieces_ = batch_->take_pieces(file_.first_piece);
    streamed_ = std::make_shared<StreamedFile>(std::move(file_));
    streamed_strand_ =
        std::make_shared<Strand>(Scheduler::instance(), options_.group, TaskClass::kDrain);
  }
  write_streamed(/*last=*/false);
}

void LayerPass::write_streamed(bool last) {
  auto write = [self = shared_from_this(), file = streamed_, slab = slab_, last,
                pieces = std::exchange(streamed_pieces_, {})]() mutable {
    Status status;
    if (!self->stopped()) {
      const auto start = Clock::now();
      status = file->write(self->context_, pieces);
      if (status.ok() && last) status = file->finish(self->context_);
      self->count_write_time(nanoseconds_since(start));
    }
    file.reset();  // its descriptors must be closed when the pass counts as ended
    self->drain_done(true, std::move(status));
  };
  if (inline_) {
    outstanding_.fetch_add(1);
    writes_.fetch_add(1);
    write();
    return;
  }
  post_write(*streamed_strand_, std::move(write));
}

// On the thread that has written.
void LayerPass::count_write_time(uint64_t nanoseconds) {
  const uint64_t create = take_create_nanoseconds();
  create_nanoseconds_ += create;
  write_nanoseconds_ += nanoseconds - std::min(create, nanoseconds);
}

void LayerPass::flush_batch() {
  if (!batch_) return;
  if (batch_->empty()) {
    // It may hold this slab for a file that is streamed by now, and would not hold the next one.
    batch_.reset();
    return;
  }
  const DirHandle* const place = batch_->place();
  auto write = [self = shared_from_this(),
                batch = std::shared_ptr<WriteBatch>(std::move(batch_))]() mutable {
    const auto start = Clock::now();
    Status status = batch->run(self->context_, self->stop_);
    self->count_write_time(nanoseconds_since(start));
    batch.reset();  // as above
    self->drain_done(true, std::move(status));
  };
  if (inline_) {
    outstanding_.fetch_add(1);
    writes_.fetch_add(1);
    write();
    return;
  }
  post_drain(true, std::move(write), place);
}

// Hardlinks wait until everything is written that they may link to, and nothing waits for them.
Status LayerPass::make_links() {
  for (const Link& link : std::exchange(links_, {})) {
    OCIUNPACK_ASSIGN(const DirRef from, directory(tree_->node(link.source).parent));
    OCIUNPACK_ASSIGN(const DirRef to, directory(tree_->node(link.node).parent));
    OCIUNPACK_TRY(make_link(context_, *from, tree_->node(link.source).name, *to,
                            tree_->node(link.node).name));
  }
  return {};
}

Status LayerPass::finish_directory_now(NodeId id) {
  OCIUNPACK_ASSIGN(const DirRef own, directory(id));
  OCIUNPACK_TRY(finish_directory(context_, *own, attributes_of(tree_->inode_of(id))));
  return note_directory(id, *own);
}

Attributes attributes_of(const Inode& inode) {
  return Attributes{inode.mode, inode.uid, inode.gid, inode.mtime, inode.xattrs};
}

}  // namespace ociunpack
