#include "metadata/json_array.h"

namespace ociunpack {
namespace {

// Past the string that begins at `at`, which is a quote. By memchr, since nearly all of a record is
// strings.
size_t end_of_string(std::string_view json, size_t at) {
  for (size_t from = at + 1;;) {
    const size_t quote = json.find('"', from);
    if (quote == std::string_view::npos) return json.size();
    const size_t escape = json.substr(from, quote - from).find('\\');
    if (escape == std::string_view::npos) return quote + 1;
    from += escape + 2;
    if (from > json.size()) return json.size();
  }
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

}  // namespace

JsonElements::JsonElements(std::string_view json) : left_(trimmed(json)) {
  if (left_.size() < 2 || left_.front() != '[' || left_.back() != ']') {
    left_ = {};
    return;
  }
  left_ = left_.substr(1, left_.size() - 2);
}

std::string_view JsonElements::next() {
  size_t at = 0;
  int depth = 0;
  while (at < left_.size() && (depth > 0 || left_[at] != ',')) {
    if (left_[at] == '"') {
      at = end_of_string(left_, at);
      continue;
    }
    if (left_[at] == '[' || left_[at] == '{') ++depth;
    if (left_[at] == ']' || left_[at] == '}') --depth;
    ++at;
  }
  const std::string_view element = trimmed(left_.substr(0, at));
  left_ = at < left_.size() ? left_.substr(at + 1) : std::string_view();
  return element;
}

}  // namespace ociunpack
