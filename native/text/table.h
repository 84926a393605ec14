// Tables for terminals, drawn from columns of text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ociunpack {

struct TableColumn {
  std::string_view cells;  // UTF-8, a line each, the heading first; safe to print
  bool align_right = false;
  size_t most = 0;  // characters of a cell: the middle of a longer one is cut out; 0: no limit
};

// The rows, a line each without the last one's end: cells as wide as the widest of their column,
// two blanks between them, none at the end of a line, and no line longer than `width` characters
// (an ellipsis for what is missing). Columns that end early have empty cells. A character is a code
// point and has one column of the terminal.
std::string draw_table(const std::vector<TableColumn>& columns, size_t width);

}  // namespace ociunpack
