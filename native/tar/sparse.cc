// Sparse maps; see sparse.h.
#include "tar/sparse.h"

#include <algorithm>
#include <string>

#include "tar/decimal.h"
#include "tar/header.h"

namespace ociunpack {
namespace {

constexpr size_t kPairBytes = 24;
constexpr uint64_t kMaxOffset = INT64_MAX;  // off_t

Error sparse_error(std::string detail) {
  return input_error(Code::ERR_INVALID_ENTRY, "sparse map", {}, std::move(detail));
}

Error too_many(uint64_t count, uint32_t max_entries) {
  return input_error(Code::ERR_LIMIT_EXCEEDED, "sparse map", {},
                     "maxSparseEntries: the sparse map has " + std::to_string(count) +
                         " or more entries, at most " + std::to_string(max_entries) +
                         " are allowed");
}

}  // namespace

Status add_extent(Extent extent, uint32_t max_entries, std::vector<Extent>* map) {
  if (map->size() >= max_entries) return too_many(map->size() + 1, max_entries);
  map->push_back(extent);
  return {};
}

Result<bool> read_old_gnu_extents(std::span<const uint8_t> bytes, uint32_t max_entries,
                                  std::vector<Extent>* map) {
  for (size_t at = 0; at + kPairBytes <= bytes.size(); at += kPairBytes) {
    const uint8_t* pair = bytes.data() + at;
    if (pair[12] == '\0') return false;
    const HeaderNumber offset = parse_number(pair, {0, 12});
    const HeaderNumber length = parse_number(pair, {12, 12});
    if (offset.state != HeaderNumber::kValid || length.state != HeaderNumber::kValid ||
        offset.value < 0 || length.value < 0) {
      return sparse_error("an offset or length is not a number");
    }
    OCIUNPACK_TRY(
        add_extent({static_cast<uint64_t>(offset.value), static_cast<uint64_t>(length.value)},
                   max_entries, map));
  }
  return true;
}

Status read_extent_list(std::string_view text, uint32_t max_entries, std::vector<Extent>* map) {
  const auto next_number = [&text](uint64_t* number) {
    const size_t comma = text.find(',');
    if (!parse_decimal(text.substr(0, comma), number)) return false;
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
    return comma == text.npos || !text.empty();
  };
  while (!text.empty()) {
    Extent extent;
    if (!next_number(&extent.offset) || text.empty() || !next_number(&extent.length)) {
      return sparse_error("GNU.sparse.map is not a list of offset,length pairs");
    }
    OCIUNPACK_TRY(add_extent(extent, max_entries, map));
  }
  return {};
}

Status check_sparse_map(uint64_t file_size, uint64_t body_size, std::vector<Extent>* map) {
  if (file_size > kMaxOffset) return sparse_error("the file's size is out of range");
  uint64_t end = 0;
  uint64_t sum = 0;
  for (const Extent& extent : *map) {
    if (extent.offset < end) return sparse_error("extents overlap or are out of order");
    if (extent.offset > file_size || extent.length > file_size - extent.offset) {
      return sparse_error("an extent lies beyond the file's size of " + std::to_string(file_size));
    }
    end = extent.offset + extent.length;
    sum += extent.length;  // SAFETY: disjoint parts of file_size: no overflow.
  }
  if (sum != body_size) {
    return sparse_error("the map has " + std::to_string(sum) + " bytes of data, the body " +
                        std::to_string(body_size));
  }
  std::erase_if(*map, [](const Extent& extent) { return extent.length == 0; });
  return {};
}

void SparseTextMap::start(uint64_t body_size, uint32_t max_entries, std::vector<Extent>* map) {
  *this = SparseTextMap();
  map_ = map;
  body_size_ = body_size;
  max_entries_ = max_entries;
  numbers_left_ = 1;
}

Result<bool> SparseTextMap::feed(std::span<const uint8_t>* input) {
  while (numbers_left_ > 0) {
    if (consumed_ == body_size_) return sparse_error("the map is longer than the body");
    if (input->empty()) return false;
    const uint8_t byte = input->front();
    *input = input->subspan(1);
    consumed_++;
    if (byte == '\n') {
      OCIUNPACK_TRY(end_line());
    } else {
      const unsigned digit = byte - unsigned{'0'};
      if (digit > 9 || number_ > (kMaxOffset - digit) / 10) {
        return sparse_error("the map in front of the body is not a list of numbers");
      }
      number_ = number_ * 10 + digit;
      has_digit_ = true;
    }
  }
  // The padding is part of the body, so the body must have it.
  const uint64_t padded = round_to_block(consumed_);
  if (padded > body_size_) return sparse_error("the map is longer than the body");
  const size_t skip = std::min<uint64_t>(padded - consumed_, input->size());
  *input = input->subspan(skip);
  consumed_ += skip;
  return consumed_ == padded;
}

Status SparseTextMap::end_line() {
  if (!has_digit_) return sparse_error("the map in front of the body has an empty line");
  numbers_left_--;
  if (!has_count_) {
    has_count_ = true;
    if (number_ > max_entries_) return too_many(number_, max_entries_);
    numbers_left_ = number_ * 2;
  } else if (numbers_left_ % 2 == 1) {
    offset_ = number_;
  } else {
    OCIUNPACK_TRY(add_extent({offset_, number_}, max_entries_, map_));
  }
  number_ = 0;
  has_digit_ = false;
  return {};
}

}  // namespace ociunpack
