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
  if (!text.empty() && text.front() > ' ' && text.back() > ' ') return text;  // nearly always
  constexpr std::string_view blanks = " \t\r\n";
  const size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// Where the element that `json` begins with ends: at its comma, or with all of it.
size_t end_of_element(std::string_view json) {
  size_t at = 0;
  int depth = 0;
  while (at < json.size()) {
    switch (json[at]) {
      case '"':
        at = end_of_string(json, at);
        continue;
      case '[':
      case '{':
        ++depth;
        break;
      case ']':
      case '}':
        --depth;
        break;
      case ',':
        if (depth <= 0) return at;
        break;
      default:
        break;
    }
    ++at;
  }
  return json.size();
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
  const size_t end = end_of_element(left_);
  const std::string_view element = trimmed(left_.substr(0, end));
  left_ = end < left_.size() ? left_.substr(end + 1) : std::string_view();
  return element;
}

}  // namespace ociunpack
