#include "pipeline/write_batch.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "pipeline/scheduler.h"

namespace ociunpack {
namespace {

// Files that are opened before the first of them is filled. Two workers in one directory then take
// turns by some 48 files, one opening while the other fills, and seldom wait in the kernel.
constexpr size_t kMostFiles = 48;

}  // namespace

const DirHandle* WriteBatch::place() const {
  if (ops_.empty()) return nullptr;
  const DirHandle* middle = ops_[ops_.size() / 2].directory.get();
  const auto there = std::count_if(ops_.begin(), ops_.end(), [middle](const CreateOp& op) {
    return op.directory.get() == middle;
  });
  return static_cast<size_t>(there) > ops_.size() / 2 ? middle : nullptr;
}

Status WriteBatch::run(const ApplyContext& context, const std::atomic<bool>& stop) const {
  for (size_t at = 0; at < ops_.size();) {
    if (stop.load(std::memory_order_relaxed)) return {};
    if (const size_t files = files_from(at); files > 1) {
      OCIUNPACK_TRY(create_files(context, stop, at, files));
      at += files;
    } else {
      OCIUNPACK_TRY(create(context, ops_[at++]));
    }
  }
  return {};
}

size_t WriteBatch::files_from(size_t first) const {
  static const size_t most = std::min(files_at_once(Scheduler::kMaxWorkers), kMostFiles);
  const size_t end = std::min(first + most, ops_.size());
  size_t at = first;
  while (at < end && ops_[at].type == NodeType::kFile && ops_[at].size > 0 &&
         ops_[at].directory == ops_[first].directory) {
    ++at;
  }
  return at - first;
}

Status WriteBatch::create_files(const ApplyContext& context, const std::atomic<bool>& stop,
                                size_t first, size_t count) const {
  std::array<UniqueFd, kMostFiles> opened;
  {
    const std::lock_guard lock(*ops_[first].directory->opening);
    for (size_t i = 0; i < count; ++i) {
      const CreateOp& op = ops_[first + i];
      OCIUNPACK_ASSIGN(opened[i], open_file(*op.directory, op.name, op.attributes));
    }
  }
  for (size_t i = 0; i < count; ++i) {
    if (stop.load(std::memory_order_relaxed)) return {};
    const CreateOp& op = ops_[first + i];
    OCIUNPACK_TRY(fill_file(context, *op.directory, op.name, op.attributes, std::move(opened[i]),
                            op.size, pieces_of(op), op.checksum));
  }
  return {};
}

Status WriteBatch::create(const ApplyContext& context, const CreateOp& op) const {
  switch (op.type) {
    case NodeType::kFile:
      return create_file(context, *op.directory, op.name, op.attributes, op.size, pieces_of(op),
                         op.checksum);
    case NodeType::kSymlink:
      return create_symlink(context, *op.directory, op.name, op.target, op.attributes);
    case NodeType::kCharDevice:
    case NodeType::kBlockDevice:
      return create_device(context, *op.directory, op.name,
                           op.type == NodeType::kCharDevice ? S_IFCHR : S_IFBLK, op.dev_major,
                           op.dev_minor, op.attributes);
    case NodeType::kFifo:
      return create_fifo(context, *op.directory, op.name, op.attributes);
    case NodeType::kDirectory:
    case NodeType::kWhiteout:
    case NodeType::kPendingLink:
      break;
  }
  return input_error(Code::ERR_INTERNAL, "write batch", std::string(op.name),
                     "this is not created by a writer");
}

Status StreamedFile::ensure_open(const ApplyContext& context) {
  if (writer_) return {};
  OCIUNPACK_ASSIGN(
      writer_, FileWriter::open(context, op_.directory, op_.name, op_.attributes, op_.checksum));
  return {};
}

Status StreamedFile::write(const ApplyContext& context, const std::vector<DataPiece>& pieces) {
  OCIUNPACK_TRY(ensure_open(context));
  for (const DataPiece& piece : pieces) OCIUNPACK_TRY(writer_->write(piece));
  return {};
}

Status StreamedFile::finish(const ApplyContext& context) {
  OCIUNPACK_TRY(ensure_open(context));
  return writer_->finish(op_.size);
}

}  // namespace ociunpack
