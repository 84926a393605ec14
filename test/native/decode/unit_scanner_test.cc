#include "decode/unit_scanner.h"

#include <string>
#include <vector>

#include "../check.h"
#include "samples.h"

namespace ociunpack {
namespace {

// All cuts of a stream that is scanned in pieces of `piece` bytes, as offsets in the stream.
std::vector<size_t> cuts_of(Compression compression, std::string_view stream, size_t piece) {
  const auto scanner = make_unit_scanner(compression);
  std::vector<size_t> all;
  for (size_t at = 0; at < stream.size(); at += piece) {
    std::vector<size_t> cuts;
    scanner->scan(samples::bytes(stream.substr(at, piece)), &cuts);
    for (const size_t cut : cuts) all.push_back(at + cut);
  }
  return all;
}

TEST(unit_scanner_finds_every_zstd_frame_in_any_split) {
  std::string stream;
  std::vector<size_t> ends;
  const auto append = [&](const std::string& frame) {
    stream += frame;
    ends.push_back(stream.size());
  };
  append(samples::zstd(samples::text(300'000, 1)));
  append(samples::zstd(samples::noise(200'000, 2)));
  append(samples::skippable("skipped"));
  append(samples::zstd("", 3, false));
  append(samples::skippable(""));
  append(samples::zstd(std::string(500'000, 'r'), 1, false));  // RLE blocks
  append(samples::zstd(samples::text(1'000, 3), 19, true));
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{4096}, stream.size()}) {
    CHECK_EQ(cuts_of(Compression::kZstd, stream, piece) == ends, true);
  }
}

TEST(unit_scanner_stops_at_what_is_no_zstd_frame) {
  const std::string frame = samples::zstd(samples::text(5'000, 1));
  const std::string padded = frame + std::string(64, '\0') + frame;
  CHECK_EQ(cuts_of(Compression::kZstd, padded, 100).size(), 1u);
  CHECK_EQ(cuts_of(Compression::kZstd, frame.substr(0, frame.size() - 1), 100).size(), 0u);
}

TEST(unit_scanner_finds_gzip_headers_that_lie_in_one_piece) {
  const std::string one = samples::gzip(samples::text(50'000, 1));
  const std::string two = samples::gzip(samples::text(50'000, 2));
  const std::string stream = one + two + one;
  const std::vector<size_t> expected{0, one.size(), one.size() + two.size()};
  CHECK_EQ(cuts_of(Compression::kGzip, stream, stream.size()) == expected, true);
  // Cut in the middle of the second header: it is missed, and the third is not.
  const auto split = cuts_of(Compression::kGzip, stream, one.size() + 5);
  CHECK_EQ(split.size() >= 1, true);
  CHECK_EQ(split.front(), 0u);
}

TEST(unit_scanner_has_none_for_streams_without_units) {
  CHECK_EQ(make_unit_scanner(Compression::kIdentity) == nullptr, true);
  CHECK_EQ(make_unit_scanner(Compression::kEmpty) == nullptr, true);
}

}  // namespace
}  // namespace ociunpack
