// Tables: alignment, what is cut, and characters that are more than a byte.
#include "text/table.h"

#include "../check.h"

namespace ociunpack {
namespace {

TEST(cells_are_as_wide_as_the_widest_of_their_column) {
  CHECK_EQ(draw_table({{"NAME\na\nlonger"}, {"SIZE\n1\n22222", true}, {"AGE\nx\n"}}, 80),
           "NAME     SIZE  AGE\n"
           "a           1  x\n"
           "longer  22222");
}

TEST(columns_that_end_early_have_empty_cells) {
  CHECK_EQ(draw_table({{"A"}, {"B\nb\n"}, {""}}, 80), "A  B\n   b\n");
  CHECK_EQ(draw_table({}, 80), "");
}

TEST(long_cells_lose_their_middle_and_long_lines_their_end) {
  CHECK_EQ(draw_table({{"N\n0123456789\nshort", false, 6}, {"B\nb"}}, 80),
           "N       B\n"
           "012…89  b\n"
           "short");
  CHECK_EQ(draw_table({{"0123456789"}}, 10), "0123456789");
  CHECK_EQ(draw_table({{"0123456789\nx"}}, 9), "01234567…\nx");
  CHECK_EQ(draw_table({{"01"}}, 0), "…");
}

TEST(characters_count_and_not_bytes) {
  CHECK_EQ(draw_table({{"ä\n€€"}, {"x\ny"}}, 80), "ä   x\n€€  y");
  CHECK_EQ(draw_table({{"äöüßäöüß", false, 4}}, 80), "äö…ß");
  CHECK_EQ(draw_table({{"äöüß"}}, 3), "äö…");
  CHECK_EQ(draw_table({{"äöü"}}, 3), "äöü");
}

}  // namespace
}  // namespace ociunpack
