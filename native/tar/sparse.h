// Sparse files: the map of what is data, from each of the forms GNU tar has written (its manual,
// "Storing Sparse Files"): old GNU header blocks, the text list of pax 0.1, and the text in front
// of the body of pax 1.0. Every number is untrusted: bounded, ordered, and summed before it is
// used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tar/entry.h"

namespace ociunpack {

// Appends one extent as it was read; ERR_LIMIT_EXCEEDED when the map has `max_entries` already.
Status add_extent(Extent extent, uint32_t max_entries, std::vector<Extent>* map);

// Reads the (offset, length) pairs of an old GNU header block or extension block: `bytes` is the
// block's array of 24-byte pairs. The first pair without a length ends the list; false when one
// did.
Result<bool> read_old_gnu_extents(std::span<const uint8_t> bytes, uint32_t max_entries,
                                  std::vector<Extent>* map);

// Reads "offset,length,offset,length...", the value of GNU.sparse.map.
Status read_extent_list(std::string_view text, uint32_t max_entries, std::vector<Extent>* map);

// Checks the whole map: in order, not overlapping, inside a file of `file_size` bytes, and of
// `body_size` bytes in sum. Extents without length (GNU tar ends maps with one) are taken out.
Status check_sparse_map(uint64_t file_size, uint64_t body_size, std::vector<Extent>* map);

// The map in front of the body of GNU.sparse 1.0: decimal lines (count, then offset and length of
// each extent), padded to a whole block. Fed by pieces of the body of any size.
class SparseTextMap {
 public:
  // Begins a new map that goes to `map`, in a body of `body_size` bytes.
  void start(uint64_t body_size, uint32_t max_entries, std::vector<Extent>* map);

  // Consumes from *input what belongs to the map and its padding. True once all of it was read.
  Result<bool> feed(std::span<const uint8_t>* input);

  // How many bytes of the body the map and its padding took so far.
  uint64_t consumed() const { return consumed_; }

 private:
  Status end_line();

  std::vector<Extent>* map_ = nullptr;
  uint64_t body_size_ = 0;
  uint64_t consumed_ = 0;
  uint64_t number_ = 0;        // of the line being read
  uint64_t numbers_left_ = 0;  // lines after the first
  uint64_t offset_ = 0;        // the last offset line
  uint32_t max_entries_ = 0;
  bool has_digit_ = false;
  bool has_count_ = false;
};

}  // namespace ociunpack
