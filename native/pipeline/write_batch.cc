#include "pipeline/write_batch.h"

#include <sys/stat.h>

#include <algorithm>

namespace ociunpack {

const DirHandle* WriteBatch::place() const {
  if (ops_.empty()) return nullptr;
  const DirHandle* middle = ops_[ops_.size() / 2].directory.get();
  const auto there = std::count_if(ops_.begin(), ops_.end(), [middle](const CreateOp& op) {
    return op.directory.get() == middle;
  });
  return static_cast<size_t>(there) > ops_.size() / 2 ? middle : nullptr;
}

Status WriteBatch::run(const ApplyContext& context, const std::atomic<bool>& stop) const {
  for (const CreateOp& op : ops_) {
    if (stop.load(std::memory_order_relaxed)) return {};
    switch (op.type) {
      case NodeType::kFile:
        OCIUNPACK_TRY(create_file(context, *op.directory, op.name, op.attributes, op.size,
                                  {pieces_.data() + op.first_piece, op.pieces}, op.checksum));
        break;
      case NodeType::kSymlink:
        OCIUNPACK_TRY(create_symlink(context, *op.directory, op.name, op.target, op.attributes));
        break;
      case NodeType::kCharDevice:
      case NodeType::kBlockDevice:
        OCIUNPACK_TRY(create_device(context, *op.directory, op.name,
                                    op.type == NodeType::kCharDevice ? S_IFCHR : S_IFBLK,
                                    op.dev_major, op.dev_minor, op.attributes));
        break;
      case NodeType::kFifo:
        OCIUNPACK_TRY(create_fifo(context, *op.directory, op.name, op.attributes));
        break;
      case NodeType::kDirectory:
      case NodeType::kWhiteout:
      case NodeType::kPendingLink:
        return input_error(Code::ERR_INTERNAL, "write batch", std::string(op.name),
                           "this is not created by a writer");
    }
  }
  return {};
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
