// libFuzzer target of the tar reader. The input is a tar; its last byte chooses the size of the
// pieces it is fed in, the one before it whether checksums are made right first, since a fuzzer
// hardly finds them. The events are checked against the promises of tar/reader.h and tar/entry.h,
// and the same tar in one piece must give the same events.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "fuzz_tar.h"
#include "tar/header.h"
#include "tar/reader.h"

namespace ociunpack {
namespace {

void require(bool condition, const char* promise) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

// Small limits, so that small inputs reach them.
Limits fuzz_limits() {
  Limits limits;
  limits.max_entries = 12;
  limits.max_path_bytes = 200;
  limits.max_pax_bytes = 4096;
  limits.max_xattr_bytes = 400;
  limits.max_sparse_entries = 40;
  return limits;
}

void check_entry(const Entry& entry, const Limits& limits) {
  require(!entry.path.empty() && entry.path.find('\0') == entry.path.npos, "a path without NUL");
  require(entry.path.size() <= limits.max_path_bytes, "the path within its limit");
  const bool is_link = entry.type == EntryType::kHardlink || entry.type == EntryType::kSymlink;
  require(is_link == !entry.linkpath.empty(), "links have targets, others have none");
  require(entry.linkpath.size() <= limits.max_path_bytes, "the link target within its limit");
  require(entry.mode <= 07777, "the mode has twelve bits");
  require(entry.uid != UINT32_MAX && entry.gid != UINT32_MAX, "owners that chown sets");
  require(entry.mtime.nanoseconds < 1'000'000'000, "nanoseconds below a second");
  require(entry.index < limits.max_entries, "the entries within their limit");
  if (entry.type != EntryType::kFile && entry.type != EntryType::kHardlink) {
    require(entry.size == 0 && entry.body_size == 0, "a body only where there may be one");
  }
  size_t xattr_bytes = 0;
  for (size_t i = 0; i < entry.xattrs.size(); i++) {
    const auto& [name, value] = entry.xattrs[i];
    require(!name.empty() && name.find('\0') == name.npos, "xattr names without NUL");
    xattr_bytes += name.size() + value.size();
    for (size_t j = 0; j < i; j++) require(entry.xattrs[j].first != name, "each xattr once");
  }
  require(xattr_bytes <= limits.max_xattr_bytes, "the xattrs within their limit");
  if (!entry.has_sparse_map) {
    require(entry.sparse_map.empty(), "no map without the mark");
    require(entry.size == entry.body_size, "the body is the file");
    return;
  }
  require(entry.type == EntryType::kFile, "only files are sparse");
  require(entry.sparse_map.size() <= limits.max_sparse_entries, "the map within its limit");
  uint64_t end = 0;
  uint64_t sum = 0;
  for (const Extent& extent : entry.sparse_map) {
    require(extent.length > 0 && extent.offset >= end, "extents in order");
    require(extent.length <= entry.size && extent.offset <= entry.size - extent.length,
            "extents in the file");
    end = extent.offset + extent.length;
    sum += extent.length;
  }
  require(sum == entry.body_size, "the map's sum is the body's size");
}

// The events as text: equal for equal readings.
std::string read(const std::vector<uint8_t>& tar, size_t piece) {
  const Limits limits = fuzz_limits();
  TarReader reader(limits);
  std::string events;
  bool open = false;
  uint64_t body_size = 0;
  uint64_t body_read = 0;
  size_t at = 0;
  while (at < tar.size()) {
    const std::vector<uint8_t> copy(tar.begin() + at,
                                    tar.begin() + at + std::min(piece, tar.size() - at));
    std::span<const uint8_t> input(copy);
    while (true) {
      Result<TarReader::Event> result = reader.next(&input);
      if (!result.ok()) return events + "error " + result.error().message();
      const TarReader::Event& event = result.value();
      require(reader.position() == at + copy.size() - input.size(), "the position");
      if (event.kind == TarReader::Event::kNeedMore) break;
      switch (event.kind) {
        case TarReader::Event::kEntry: {
          const Entry& entry = *event.entry;
          require(!open, "an entry after the end of the last");
          check_entry(entry, limits);
          open = true;
          body_size = entry.body_size;
          body_read = 0;
          events += "entry " + std::string(entry.path) + ">" + std::string(entry.linkpath) + " " +
                    std::to_string(entry.size) + " " + std::to_string(entry.mtime.seconds) + "." +
                    std::to_string(entry.mtime.nanoseconds);
          for (const auto& [name, value] : entry.xattrs) {
            events += " " + std::string(name) + "=" + std::string(value);
          }
          events += "\n";
          break;
        }
        case TarReader::Event::kData:
          require(open && event.size > 0 && event.offset == body_read,
                  "data of the entry, in order");
          require(event.data >= copy.data() && event.data + event.size <= copy.data() + copy.size(),
                  "data is a view into the input");
          body_read += event.size;
          require(body_read <= body_size, "no more data than the body's size");
          events.append(reinterpret_cast<const char*>(event.data), event.size);
          break;
        case TarReader::Event::kEntryEnd:
          require(open && body_read == body_size, "all of the body before the end");
          open = false;
          break;
        default:
          require(!open, "the end after the last entry");
          events += "end\n";
      }
    }
    require(input.empty(), "all input used when more is needed");
    at += copy.size();
  }
  const Status status = reader.finish();
  return events + (status.ok() ? "ok" : status.error().message());
}

}  // namespace
}  // namespace ociunpack

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint8_t feed = data[size - 1];
  const size_t piece = feed % 4 == 0 ? 1 + feed / 4 : 100 + 7 * feed;
  std::vector<uint8_t> tar(data, data + size);
  if (data[size - 2] % 4 != 3) ociunpack::fuzz::make_checksums_right(&tar);
  const std::string whole = ociunpack::read(tar, tar.size());
  const std::string pieces = ociunpack::read(tar, piece);
  ociunpack::require(whole == pieces, "the same events for every way of feeding");
  return 0;
}
