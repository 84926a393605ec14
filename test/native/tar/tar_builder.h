// Builds tars by hand, block by block, so that tests can write what no tool would; and reads them
// with TarReader into plain values, fed in pieces of a given size.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "tar/reader.h"

namespace ociunpack::tar_test {

inline const std::string kUstarMagic(
    "ustar\0"
    "00",
    8);
inline const std::string kGnuMagic("ustar  \0", 8);
inline const std::string kV7Magic(8, '\0');

struct Header {
  std::string name = "file";
  char type = '0';
  uint64_t size = 0;
  std::string link = {};
  std::string magic = kUstarMagic;
  uint32_t mode = 0644;
  uint64_t uid = 0;
  uint64_t gid = 0;
  uint64_t mtime = 0;
  uint64_t dev_major = 0;
  uint64_t dev_minor = 0;
  std::string prefix = {};
  // (offset, bytes) written over the block before the checksum is made.
  std::vector<std::pair<size_t, std::string>> patches = {};
  bool signed_checksum = false;
};

inline std::string octal(uint64_t value, size_t width) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llo", static_cast<int>(width - 1),
                static_cast<unsigned long long>(value));
  return std::string(text, width);
}

inline std::string block(const Header& header) {
  std::string b(512, '\0');
  const auto put = [&b](size_t at, std::string_view text) {
    std::memcpy(b.data() + at, text.data(), text.size());
  };
  put(0, header.name.substr(0, 100));
  put(100, octal(header.mode, 8));
  put(108, octal(header.uid, 8));
  put(116, octal(header.gid, 8));
  put(124, octal(header.size, 12));
  put(136, octal(header.mtime, 12));
  put(148, "        ");
  b[156] = header.type;
  put(157, header.link.substr(0, 100));
  put(257, header.magic);
  if (header.magic != kV7Magic) {
    put(329, octal(header.dev_major, 8));
    put(337, octal(header.dev_minor, 8));
  }
  put(345, header.prefix);
  for (const auto& [at, bytes] : header.patches) put(at, bytes);
  bool checksum_patched = false;
  for (const auto& patch : header.patches) checksum_patched |= patch.first == 148;
  if (!checksum_patched) {
    int64_t sum = 0;
    for (const char c : b) {
      sum += header.signed_checksum ? static_cast<signed char>(c) : static_cast<unsigned char>(c);
    }
    put(148, octal(static_cast<uint64_t>(sum), 7) + " ");
  }
  return b;
}

inline std::string pad(std::string bytes) {
  bytes.resize((bytes.size() + 511) / 512 * 512, '\0');
  return bytes;
}

// A header with its body; the header's size is the body's.
inline std::string entry(Header header, const std::string& body = {}) {
  header.size = body.size();
  return block(header) + pad(body);
}

inline std::string record(const std::string& key, const std::string& value) {
  const std::string content = " " + key + "=" + value + "\n";
  size_t length = content.size();
  while (std::to_string(length).size() + content.size() != length) {
    length = std::to_string(length).size() + content.size();
  }
  return std::to_string(length) + content;
}

// An extended header with this body, as it is.
inline std::string extended(char type, const std::string& body) {
  return entry({.name = "extended", .type = type}, body);
}

using Records = std::vector<std::pair<std::string, std::string>>;
inline std::string pax(const Records& records, char type = 'x') {
  std::string body;
  for (const auto& [key, value] : records) body += record(key, value);
  return extended(type, body);
}

inline std::string zeros(size_t blocks) { return std::string(blocks * 512, '\0'); }

// An entry, copied out of the reader.
struct ReadEntry {
  EntryType type;
  std::string path, linkpath;
  uint32_t mode, uid, gid, dev_major, dev_minor;
  int64_t seconds;
  uint32_t nanoseconds;
  uint64_t size, body_size;
  bool has_sparse_map;
  std::vector<std::pair<uint64_t, uint64_t>> sparse_map;
  std::vector<std::pair<std::string, std::string>> xattrs;
  uint64_t index;
  std::string body;
  bool operator==(const ReadEntry&) const = default;
};

struct Reading {
  std::vector<ReadEntry> entries;
  bool saw_end = false;
  bool in_order = true;  // the events came in the order that reader.h says
  Status status;         // of the first error, else of finish()
  Code code() const { return status.ok() ? Code::ERR_INTERNAL : status.error().code; }
  std::string message() const { return status.ok() ? std::string() : status.error().message(); }
};

// Feeds `tar` in pieces of `piece` bytes (0: whole).
inline Reading read(const std::string& tar, size_t piece = 0, const Limits& limits = {}) {
  Reading reading;
  TarReader reader(limits);
  bool open = false;
  const auto* bytes = reinterpret_cast<const uint8_t*>(tar.data());
  for (size_t at = 0; at < tar.size() || at == 0;) {
    const size_t size = piece == 0 ? tar.size() - at : std::min(piece, tar.size() - at);
    // A copy of the exact size, so that the address sanitizer sees any read beyond it.
    const std::vector<uint8_t> copy(bytes + at, bytes + at + size);
    std::span<const uint8_t> input(copy);
    while (true) {
      Result<TarReader::Event> event = reader.next(&input);
      if (!event.ok()) {
        reading.status = std::move(event).error();
        return reading;
      }
      using Event = TarReader::Event;
      const Event& e = event.value();
      if (e.kind == Event::kNeedMore) {
        reading.in_order &= input.empty();
        break;
      } else if (e.kind == Event::kEntry) {
        reading.in_order &= !open && !reading.saw_end;
        open = true;
        const Entry& entry = *e.entry;
        ReadEntry& r = reading.entries.emplace_back();
        r.type = entry.type;
        r.path = entry.path;
        r.linkpath = entry.linkpath;
        r.mode = entry.mode;
        r.uid = entry.uid;
        r.gid = entry.gid;
        r.dev_major = entry.dev_major;
        r.dev_minor = entry.dev_minor;
        r.seconds = entry.mtime.seconds;
        r.nanoseconds = entry.mtime.nanoseconds;
        r.size = entry.size;
        r.body_size = entry.body_size;
        r.has_sparse_map = entry.has_sparse_map;
        for (const Extent& extent : entry.sparse_map) {
          r.sparse_map.emplace_back(extent.offset, extent.length);
        }
        for (const auto& [name, value] : entry.xattrs) r.xattrs.emplace_back(name, value);
        r.index = entry.index;
      } else if (e.kind == Event::kData) {
        reading.in_order &= open && e.size > 0 && e.offset == reading.entries.back().body.size() &&
                            e.data >= copy.data() && e.data + e.size <= copy.data() + size;
        reading.entries.back().body.append(reinterpret_cast<const char*>(e.data), e.size);
      } else if (e.kind == Event::kEntryEnd) {
        reading.in_order &=
            open && reading.entries.back().body.size() == reading.entries.back().body_size;
        open = false;
      } else {
        reading.in_order &= !open && !reading.saw_end;
        reading.saw_end = true;
      }
    }
    at += size;
    if (tar.empty()) break;
  }
  reading.status = reader.finish();
  return reading;
}

// Reads `tar` whole and again in odd pieces; the two must agree in everything. Returns the first.
inline Reading read_all_ways(const std::string& tar, const Limits& limits = {}) {
  Reading whole = read(tar, 0, limits);
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{511}, size_t{512}, size_t{513}}) {
    const Reading pieces = read(tar, piece, limits);
    if (!pieces.in_order || pieces.entries.size() != whole.entries.size() ||
        pieces.saw_end != whole.saw_end || pieces.message() != whole.message()) {
      whole.in_order = false;
      continue;
    }
    for (size_t i = 0; i < whole.entries.size(); i++) {
      // After an error the last body may have been cut at another place.
      if (whole.status.ok() && !(pieces.entries[i] == whole.entries[i])) whole.in_order = false;
    }
  }
  return whole;
}

}  // namespace ociunpack::tar_test
