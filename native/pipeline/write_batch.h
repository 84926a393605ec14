// What the decode strand hands to the writers: a batch of things to create, usually all that one
// slab holds, and single files whose content goes on over several slabs. Nothing is copied: content
// is read from the slabs, names and attributes from the layer's arena.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "apply/attributes.h"
#include "apply/context.h"
#include "apply/create.h"
#include "apply/dir_cache.h"
#include "base/result.h"
#include "pipeline/slab.h"
#include "tree/tree.h"

namespace ociunpack {

struct CreateOp {
  DirRef directory;
  std::string_view name;
  NodeType type = NodeType::kFile;
  Attributes attributes;
  std::string_view target;  // of a symlink
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  uint64_t size = 0;             // of a file, with its holes
  uint32_t* checksum = nullptr;  // of a file: where its content's goes
  size_t first_piece = 0;
  size_t pieces = 0;
};

class WriteBatch {
 public:
  // Content of pieces lies in this slab.
  void hold(const SlabRef& slab) {
    if (!slab_) slab_ = slab;
  }
  CreateOp& add_op() { return ops_.emplace_back(); }
  void add_piece(DataPiece piece) { pieces_.push_back(piece); }
  // Takes away the pieces from `first` on.
  std::vector<DataPiece> take_pieces(size_t first) {
    std::vector<DataPiece> taken(pieces_.begin() + static_cast<ptrdiff_t>(first), pieces_.end());
    pieces_.resize(first);
    return taken;
  }
  size_t piece_count() const { return pieces_.size(); }
  bool empty() const { return ops_.empty(); }
  // The directory that most of it goes to (what comes in a row goes to one mostly); or null.
  const DirHandle* place() const;

  // Creates everything, in order. Any thread; stops early (without an error) when `stop` is set.
  Status run(const ApplyContext& context, const std::atomic<bool>& stop) const;

 private:
  // Files from `first` on that are opened together: in one directory, none of them empty.
  size_t files_from(size_t first) const;
  Status create_files(const ApplyContext& context, const std::atomic<bool>& stop, size_t first,
                      size_t count) const;
  Status create(const ApplyContext& context, const CreateOp& op) const;
  std::span<const DataPiece> pieces_of(const CreateOp& op) const {
    return {pieces_.data() + op.first_piece, op.pieces};
  }
  std::vector<CreateOp> ops_;
  std::vector<DataPiece> pieces_;
  SlabRef slab_;
};

// A file whose content spans slabs. Its parts are written in order, on a strand.
class StreamedFile {
 public:
  StreamedFile(CreateOp op) : op_(std::move(op)) {}

  Status write(const ApplyContext& context, const std::vector<DataPiece>& pieces);
  Status finish(const ApplyContext& context);

 private:
  Status ensure_open(const ApplyContext& context);
  CreateOp op_;
  std::optional<FileWriter> writer_;
};

}  // namespace ociunpack
