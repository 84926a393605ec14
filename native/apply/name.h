// A name of the tree as the system calls want it: ended by a NUL, on the stack.
#pragma once

#include <cstring>
#include <string_view>

namespace ociunpack {

class CName {
 public:
  // SAFETY: names of the tree have at most 255 bytes and no NUL (the planner refuses others).
  explicit CName(std::string_view name) {
    std::memcpy(bytes_, name.data(), name.size());
    bytes_[name.size()] = '\0';
  }
  const char* c_str() const { return bytes_; }

 private:
  char bytes_[256];
};

}  // namespace ociunpack
