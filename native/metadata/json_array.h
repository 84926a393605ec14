// Elements of a JSON array, without parsing it whole (RFC 8259).
#pragma once

#include <cstddef>
#include <string_view>

namespace ociunpack {

// Goes through the elements of the array that `json` is; what is not one has none. Texts are of
// `json`.
class JsonElements {
 public:
  explicit JsonElements(std::string_view json);

  // The next element, without blanks around it: never empty, but past the last one.
  std::string_view next();

 private:
  std::string_view left_;  // what follows the last element and its comma
};

}  // namespace ociunpack
