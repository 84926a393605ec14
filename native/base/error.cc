#include "base/error.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace ociunpack {

std::string_view code_name(Code code) {
  switch (code) {
#define OCIUNPACK_CODE_CASE(name) \
  case Code::name:                \
    return #name;
    OCIUNPACK_ERROR_CODES(OCIUNPACK_CODE_CASE)
#undef OCIUNPACK_CODE_CASE
  }
  return "ERR_INTERNAL";
}

std::string errno_name(int error_number) {
  if (const char* name = ::strerrorname_np(error_number)) return name;
  std::string name = "E";
  return name.append(std::to_string(error_number));
}

std::string Error::message() const {
  if (error_number == 0) {
    std::string text = path.empty() ? operation : path;
    if (!detail.empty()) text += ": " + detail;
    return text;
  }
  std::string text = operation + "(" + path;
  if (!detail.empty()) text += (path.empty() ? "" : ", ") + detail;
  return text + "): " + errno_name(error_number);
}

Error system_error(int error_number, std::string operation, std::string path, std::string detail) {
  Code code = Code::ERR_IO;
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      code = Code::ERR_NO_SPACE;
      break;
    case EPERM:
    case EACCES:
    case EROFS:
      code = Code::ERR_PERMISSION;
      break;
    case ENOENT:
      code = Code::ERR_NOT_FOUND;
      break;
    default:
      break;
  }
  return Error{code, error_number, std::move(operation), std::move(detail), std::move(path)};
}

Error input_error(Code code, std::string operation, std::string path, std::string detail) {
  return Error{code, 0, std::move(operation), std::move(detail), std::move(path)};
}

}  // namespace ociunpack
