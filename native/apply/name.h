// A name of the tree as the system calls want it: ended by a NUL, on the stack.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

namespace ociunpack {

class CName {
 public:
  // SAFETY: names of the tree have no NUL and at most NAME_MAX bytes (the planner refuses others);
  // a longer one, if there ever were, is cut to a length that every system call refuses.
  explicit CName(std::string_view name) {
    const size_t size = std::min(name.size(), sizeof bytes_ - 1);
    std::memcpy(bytes_, name.data(), size);
    bytes_[size] = '\0';
  }
  const char* c_str() const { return bytes_; }

 private:
  char bytes_[257];
};

}  // namespace ociunpack
