// pax records; see pax.h.
#include "tar/pax.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "tar/decimal.h"
#include "tar/sparse.h"
#include "tar/text_codec.h"

namespace ociunpack {
namespace {

constexpr std::string_view kSchilyXattr = "SCHILY.xattr.";
constexpr std::string_view kLibarchiveXattr = "LIBARCHIVE.xattr.";
constexpr std::string_view kGnuSparse = "GNU.sparse.";
constexpr std::string_view kGnuVolume = "GNU.volume.";

// Up to this many xattrs a search for an earlier one of the name is cheaper than sorting.
constexpr size_t kFewXattrs = 32;

// A keyword in an error text: shortened, and printable.
std::string shown(std::string_view keyword) {
  std::string text;
  for (const char c : keyword.substr(0, 80)) text += c >= 0x20 && c < 0x7f ? c : '?';
  return text;
}

Error malformed(std::string detail) {
  return input_error(Code::ERR_INVALID_TAR, "pax header", {}, std::move(detail));
}

Error bad_value(std::string_view keyword, const char* expected) {
  return malformed("the value of " + shown(keyword) + " is not " + expected);
}

// One record, "LENGTH KEYWORD=VALUE\n".
struct Record {
  std::span<char> keyword;
  std::span<char> value;
  std::string_view key() const { return {keyword.data(), keyword.size()}; }
  std::string_view text() const { return {value.data(), value.size()}; }
};

// Takes the next record off the front of *body.
Result<Record> next_record(std::span<char>* body) {
  const size_t left = body->size();
  size_t at = 0;
  size_t length = 0;
  for (; at < left && (*body)[at] >= '0' && (*body)[at] <= '9'; at++) {
    length = length * 10 + static_cast<size_t>((*body)[at] - '0');
    if (length > left) return malformed("a record is longer than the header");
  }
  if (at == 0 || at == left || (*body)[at] != ' ') {
    return malformed("a record does not begin with its length and a space");
  }
  at++;
  if (length <= at) return malformed("a record's length is too small");
  if ((*body)[length - 1] != '\n') return malformed("a record does not end with a newline");
  const std::span<char> content = body->subspan(at, length - 1 - at);
  *body = body->subspan(length);
  const void* equals = content.empty() ? nullptr : std::memchr(content.data(), '=', content.size());
  if (!equals) return malformed("a record has no '='");
  const size_t key_size = static_cast<const char*>(equals) - content.data();
  if (key_size == 0) return malformed("a record has an empty keyword");
  if (std::memchr(content.data(), '\0', key_size)) return malformed("a keyword has a NUL");
  return Record{content.first(key_size), content.subspan(key_size + 1)};
}

// [-]SECONDS[.FRACTION], digits past the ninth are cut. Seconds out of range saturate: applying the
// time clamps it to the filesystem's range anyway, and reports that.
bool parse_time(std::string_view text, Timestamp* time) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction =
      point == text.npos ? std::string_view() : text.substr(point + 1);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (whole.empty() || !std::all_of(whole.begin(), whole.end(), is_digit) ||
      !std::all_of(fraction.begin(), fraction.end(), is_digit)) {
    return false;
  }
  uint32_t nanoseconds = 0;
  for (size_t i = 0; i < 9; i++) {
    nanoseconds = nanoseconds * 10 + (i < fraction.size() ? fraction[i] - '0' : 0);
  }
  uint64_t seconds = 0;
  if (!parse_decimal(whole, &seconds) || seconds > INT64_MAX) {
    *time = negative ? Timestamp{INT64_MIN, 0} : Timestamp{INT64_MAX, 999'999'999};
    return true;
  }
  time->seconds = negative ? -static_cast<int64_t>(seconds) : static_cast<int64_t>(seconds);
  time->nanoseconds = nanoseconds;
  if (negative && nanoseconds > 0) {
    // -1.25 is 0.75 after -2. SAFETY: seconds is at least -INT64_MAX, so one less is in range.
    time->seconds--;
    time->nanoseconds = 1'000'000'000 - nanoseconds;
  }
  return true;
}

// Applies records to the fields of one header.
class RecordSink {
 public:
  RecordSink(PaxKind kind, const Limits& limits, PaxFields* fields)
      : kind_(kind), limits_(limits), fields_(*fields) {}

  Status add(const Record& record) {
    const std::string_view key = record.key();
    const std::string_view text = record.text();
    if (key == "path") return add_name(key, text, &fields_.path, &fields_.path_taken_away);
    if (key == "linkpath") {
      return add_name(key, text, &fields_.linkpath, &fields_.linkpath_taken_away);
    }
    if (key == "size") return add_number(key, text, INT64_MAX, &fields_.size);
    if (key == "uid") return add_number(key, text, UINT32_MAX - 1, &fields_.uid);
    if (key == "gid") return add_number(key, text, UINT32_MAX - 1, &fields_.gid);
    if (key == "mtime") return add_time(key, text);
    if (key.starts_with(kSchilyXattr)) {
      // The name as it is: star, Go's archive/tar and libarchive encode nothing in it.
      return add_xattr(key.substr(kSchilyXattr.size()), text);
    }
    if (key.starts_with(kLibarchiveXattr)) return add_libarchive_xattr(record);
    if (key.starts_with(kGnuSparse)) return add_sparse(key, text);
    if (key == "SCHILY.acl.access" || key == "SCHILY.acl.default") return add_xattr(key, text);
    // Under the names of the xattrs they stand for, so that dropping them is reported like those.
    if (key == "SCHILY.acl.ace") return add_xattr("system.nfs4_acl", text);
    if (key == "RHT.security.selinux") return add_xattr("security.selinux", text);
    if (key == "SCHILY.devmajor") return add_number(key, text, UINT32_MAX, &fields_.dev_major);
    if (key == "SCHILY.devminor") return add_number(key, text, UINT32_MAX, &fields_.dev_minor);
    if (key == "hdrcharset") return check_charset(text);
    if (key.starts_with(kGnuVolume) && key != "GNU.volume.label") {
      return malformed("a part of a multi-volume archive (" + shown(key) + ")");
    }
    return {};
  }

  Status end() {
    if (fields_.sparse.pending_offset) {
      return malformed("a GNU.sparse.offset without a GNU.sparse.numbytes");
    }
    if (fields_.xattrs.size() > kFewXattrs) drop_repeated_xattrs();
    // Empty in a global header takes away, like every other value.
    if (kind_ == PaxKind::kGlobal) {
      std::erase_if(fields_.xattrs, [](const Xattr& xattr) { return xattr.second.empty(); });
    }
    return {};
  }

 private:
  Status add_name(std::string_view key, std::string_view text,
                  std::optional<std::string_view>* name, bool* taken_away) {
    if (text.find('\0') != text.npos) {
      return input_error(Code::ERR_INVALID_ENTRY, "pax header", {},
                         "the value of " + shown(key) + " has a NUL byte");
    }
    *name = text.empty() ? std::nullopt : std::optional(text);
    // In a global header an empty value only takes back what an earlier one has said.
    if (taken_away != nullptr) *taken_away = text.empty() && kind_ == PaxKind::kEntry;
    return {};
  }

  template <typename T>
  Status add_number(std::string_view key, std::string_view text, uint64_t max,
                    std::optional<T>* number) {
    uint64_t value = 0;
    if (text.empty()) {
      number->reset();
    } else if (!parse_decimal(text, &value)) {
      return bad_value(key, "a decimal number");
    } else if (value > max) {
      return input_error(
          Code::ERR_INVALID_ENTRY, "pax header", {},
          "the value of " + shown(key) + " is out of range: at most " + std::to_string(max));
    } else {
      *number = static_cast<T>(value);
    }
    return {};
  }

  Status add_time(std::string_view key, std::string_view text) {
    Timestamp time;
    if (text.empty()) {
      fields_.mtime.reset();
    } else if (!parse_time(text, &time)) {
      return bad_value(key, "a time in seconds");
    } else {
      fields_.mtime = time;
    }
    return {};
  }

  // Names are bytes here, so only character sets whose names need no conversion are right.
  Status check_charset(std::string_view text) {
    if (text.empty() || text == "BINARY" || text == "ISO-IR 10646 2000 UTF-8" ||
        text == "ISO-IR 646 1990") {
      return {};
    }
    return input_error(Code::ERR_UNSUPPORTED, "pax header", {},
                       "names are in the character set '" + shown(text) +
                           "'; only BINARY and UTF-8 are supported");
  }

  Status add_xattr(std::string_view name, std::string_view value) {
    if (name.empty()) return malformed("an xattr without a name");
    auto& xattrs = fields_.xattrs;
    const auto found =
        xattrs.size() <= kFewXattrs
            ? std::find_if(xattrs.begin(), xattrs.end(),
                           [name](const Xattr& xattr) { return xattr.first == name; })
            : xattrs.end();
    fields_.xattr_bytes += name.size() + value.size();
    if (fields_.xattr_bytes > limits_.max_xattr_bytes) {
      return input_error(Code::ERR_LIMIT_EXCEEDED, "pax header", {},
                         "maxXattrBytes: the xattrs have " + std::to_string(fields_.xattr_bytes) +
                             " or more bytes, at most " + std::to_string(limits_.max_xattr_bytes) +
                             " are allowed");
    }
    if (found != xattrs.end()) {
      found->second = value;
    } else {
      xattrs.emplace_back(name, value);
    }
    return {};
  }

  Status add_libarchive_xattr(const Record& record) {
    std::span<char> name = record.keyword.subspan(kLibarchiveXattr.size());
    std::span<char> value = record.value;
    if (!decode_url(&name)) return malformed("a LIBARCHIVE.xattr name is not URL encoded");
    if (std::find(name.begin(), name.end(), '\0') != name.end()) {
      return malformed("a LIBARCHIVE.xattr name has a NUL");
    }
    if (!decode_base64(&value)) return bad_value(record.key(), "base64");
    return add_xattr({name.data(), name.size()}, {value.data(), value.size()});
  }

  Status add_sparse(std::string_view key, std::string_view text) {
    if (kind_ == PaxKind::kGlobal) return malformed(shown(key) + " in a global header");
    PaxSparse& sparse = fields_.sparse;
    const std::string_view name = key.substr(kGnuSparse.size());
    sparse.present = true;
    if (name == "name") return add_name(key, text, &fields_.sparse_path, nullptr);
    if (name == "major") return add_number(key, text, INT64_MAX, &sparse.major);
    if (name == "minor") return add_number(key, text, INT64_MAX, &sparse.minor);
    // "size" is of versions 0.0 and 0.1, "realsize" of 1.0; they say the same.
    if (name == "size" || name == "realsize") {
      return add_number(key, text, INT64_MAX, &sparse.file_size);
    }
    if (name == "numblocks") return add_number(key, text, INT64_MAX, &sparse.entry_count);
    if (name == "map") {
      // A second map would silently replace the first.
      if (sparse.has_list || sparse.has_pairs) return malformed("more than one sparse map");
      sparse.has_list = true;
      return read_extent_list(text, limits_.max_sparse_entries, &sparse.map);
    }
    if (name == "offset" || name == "numbytes") return add_sparse_pair(key, text, name == "offset");
    return malformed("unknown sparse record " + shown(key));
  }

  // Version 0.0: offset and numbytes records, once for each extent, in this order.
  Status add_sparse_pair(std::string_view key, std::string_view text, bool is_offset) {
    PaxSparse& sparse = fields_.sparse;
    uint64_t number = 0;
    if (!parse_decimal(text, &number)) return bad_value(key, "a decimal number");
    if (sparse.has_list) return malformed("more than one sparse map");
    if (sparse.pending_offset.has_value() == is_offset) {
      return malformed("GNU.sparse.offset and GNU.sparse.numbytes do not alternate");
    }
    sparse.has_pairs = true;
    if (is_offset) {
      sparse.pending_offset = number;
      return {};
    }
    const Extent extent{*sparse.pending_offset, number};
    sparse.pending_offset.reset();
    return add_extent(extent, limits_.max_sparse_entries, &sparse.map);
  }

  // Keeps the last of each name.
  void drop_repeated_xattrs() {
    auto& xattrs = fields_.xattrs;
    std::stable_sort(xattrs.begin(), xattrs.end(),
                     [](const Xattr& a, const Xattr& b) { return a.first < b.first; });
    size_t kept = 0;
    for (size_t i = 0; i < xattrs.size(); i++) {
      if (i + 1 == xattrs.size() || xattrs[i + 1].first != xattrs[i].first) {
        xattrs[kept++] = xattrs[i];
      }
    }
    xattrs.resize(kept);
  }

  PaxKind kind_;
  const Limits& limits_;
  PaxFields& fields_;
};

}  // namespace

void PaxFields::clear() {
  // The vectors keep their memory: the next header will want it.
  std::vector<Xattr> xattr_memory = std::move(xattrs);
  xattr_memory.clear();
  *this = PaxFields();
  xattrs = std::move(xattr_memory);
}

Status parse_pax(std::span<char> body, PaxKind kind, const Limits& limits, PaxFields* fields) {
  RecordSink sink(kind, limits, fields);
  while (!body.empty()) {
    OCIUNPACK_ASSIGN(const Record record, next_record(&body));
    OCIUNPACK_TRY(sink.add(record));
  }
  return sink.end();
}

Status PaxGlobals::apply(std::span<char> body, const Limits& limits) {
  OCIUNPACK_TRY(parse_pax(body, PaxKind::kGlobal, limits, &fields_));
  // They are every entry's: a header full of them could ask for hours. Writers put none there.
  if (fields_.xattrs.size() > limits.max_global_xattrs) {
    return input_error(Code::ERR_LIMIT_EXCEEDED, "pax header", {},
                       "maxGlobalXattrs: the global headers have " +
                           std::to_string(fields_.xattrs.size()) + " xattrs, at most " +
                           std::to_string(limits.max_global_xattrs) + " are allowed");
  }
  empty_ = false;
  keep_only_live_bytes();
  return {};
}

// Copies what the fields refer to into one new buffer, so that any number of global headers takes
// no more memory than what they say in the end.
void PaxGlobals::keep_only_live_bytes() {
  size_t total = 0;
  if (fields_.path) total += fields_.path->size();
  if (fields_.linkpath) total += fields_.linkpath->size();
  fields_.xattr_bytes = 0;
  for (const auto& [name, value] : fields_.xattrs)
    fields_.xattr_bytes += name.size() + value.size();
  total += fields_.xattr_bytes;
  auto storage = std::make_unique_for_overwrite<char[]>(total);
  char* next = storage.get();
  const auto move_view = [&next](std::string_view& view) {
    if (!view.empty()) std::memcpy(next, view.data(), view.size());
    view = {next, view.size()};
    next += view.size();
  };
  if (fields_.path) move_view(*fields_.path);
  if (fields_.linkpath) move_view(*fields_.linkpath);
  for (auto& [name, value] : fields_.xattrs) {
    move_view(name);
    move_view(value);
  }
  storage_ = std::move(storage);
}

}  // namespace ociunpack
