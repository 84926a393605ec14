#include "text/table.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace ociunpack {
namespace {

constexpr std::string_view kEllipsis = "…";

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

// Eight bytes at a time while they are ASCII: most are.
size_t characters(std::string_view text) {
  size_t at = 0;
  for (uint64_t word; at + sizeof word <= text.size(); at += sizeof word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    if ((word & 0x8080808080808080) != 0) break;
  }
  return at + static_cast<size_t>(std::count_if(text.begin() + static_cast<ptrdiff_t>(at),
                                                text.end(), begins_character));
}

// The bytes of the first `count` characters.
size_t bytes_of(std::string_view text, size_t count) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if (begins_character(text[at]) && count-- == 0) break;
  }
  return at;
}

// Goes through the cells of a column, which it keeps in `left`.
std::string_view next_cell(std::string_view& left) {
  const std::string_view cell = left.substr(0, left.find('\n'));
  left.remove_prefix(std::min(left.size(), cell.size() + 1));
  return cell;
}

// What `most` leaves of a cell: the beginning and the end say most.
void append_shortened(std::string& line, std::string_view cell, size_t length, size_t most) {
  const size_t tail = (most - 1) / 2;
  line.append(cell, 0, bytes_of(cell, most - 1 - tail)).append(kEllipsis);
  line.append(cell.substr(bytes_of(cell, length - tail)));
}

size_t widest(const TableColumn& column) {
  size_t width = 0;
  for (std::string_view left = column.cells; !left.empty();) {
    width = std::max(width, characters(next_cell(left)));
  }
  return column.most > 0 ? std::min(width, column.most) : width;
}

void append_cell(std::string& line, std::string_view cell, const TableColumn& column,
                 size_t width) {
  const size_t length = characters(cell);
  const size_t padding = width - std::min(width, length);
  if (column.align_right) line.append(padding, ' ');
  if (length > width) {
    append_shortened(line, cell, length, width);
  } else {
    line.append(cell);
  }
  if (!column.align_right) line.append(padding, ' ');
}

// Takes from the line that begins at `start` what must not be there.
void end_line(std::string& lines, size_t start, size_t width) {
  const size_t last = lines.find_last_not_of(' ');
  lines.resize(last == std::string::npos ? start : std::max(start, last + 1));
  const std::string_view line = std::string_view(lines).substr(start);
  if (line.size() <= width || characters(line) <= width) return;
  lines.resize(start + bytes_of(line, std::max<size_t>(width, 1) - 1));
  lines.append(kEllipsis);
}

}  // namespace

std::string draw_table(const std::vector<TableColumn>& columns, size_t width) {
  std::vector<size_t> widths;
  std::vector<std::string_view> left;
  size_t rows = 0;
  size_t bytes = 0;
  for (const TableColumn& column : columns) {
    const auto ends = std::count(column.cells.begin(), column.cells.end(), '\n');
    rows = std::max(rows, static_cast<size_t>(ends) + 1);
    left.push_back(column.cells);
    widths.push_back(widest(column));
    bytes += widths.back() + 2;
  }
  std::string lines;
  lines.reserve(rows * std::min(bytes, width + 1));  // one long cell must not ask for all memory
  for (size_t row = 0; row < rows; ++row) {
    const size_t start = lines.size();
    for (size_t at = 0; at < columns.size(); ++at) {
      if (at > 0) lines.append(2, ' ');
      append_cell(lines, next_cell(left[at]), columns[at], widths[at]);
    }
    end_line(lines, start, width);
    if (row + 1 < rows) lines.append(1, '\n');
  }
  return lines;
}

}  // namespace ociunpack
