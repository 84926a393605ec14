// The error that every room of native/ returns: a stable code, the operation that failed with its
// arguments, errno, and the path inside the layer it happened at. It prints like
// `fsetxattr(usr/bin/ping, security.capability): EPERM`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ociunpack {

// Stable codes, the same strings as `UnpackErrorCode` in src/errors.ts (a test compares the two).
#define OCIUNPACK_ERROR_CODES(X) \
  X(ERR_INVALID_ARGUMENT)        \
  X(ERR_ABORTED)                 \
  X(ERR_INTERNAL)                \
  X(ERR_IO)                      \
  X(ERR_NOT_FOUND)               \
  X(ERR_PERMISSION)              \
  X(ERR_NO_SPACE)                \
  X(ERR_UNSUPPORTED)             \
  X(ERR_SIZE_MISMATCH)           \
  X(ERR_DIGEST_MISMATCH)         \
  X(ERR_DIFFID_MISMATCH)         \
  X(ERR_TRUNCATED)               \
  X(ERR_INVALID_GZIP)            \
  X(ERR_INVALID_ZSTD)            \
  X(ERR_UNKNOWN_COMPRESSION)     \
  X(ERR_TRAILING_GARBAGE)        \
  X(ERR_INVALID_TAR)             \
  X(ERR_INVALID_ENTRY)           \
  X(ERR_LINK_TARGET)             \
  X(ERR_SYMLINK_PARENT)          \
  X(ERR_OVERLAY_XATTR)           \
  X(ERR_DEVICE)                  \
  X(ERR_XATTR_UNSUPPORTED)       \
  X(ERR_OWNERSHIP)               \
  X(ERR_LIMIT_EXCEEDED)          \
  X(ERR_INVALID_INDEX)           \
  X(ERR_MOUNT)                   \
  X(ERR_STORE_BUSY)              \
  X(ERR_STORE_CORRUPT)

enum class Code : uint8_t {
#define OCIUNPACK_CODE_ENUM(name) name,
  OCIUNPACK_ERROR_CODES(OCIUNPACK_CODE_ENUM)
#undef OCIUNPACK_CODE_ENUM
};

// The string form of a code, e.g. "ERR_NO_SPACE"; static storage.
std::string_view code_name(Code code);

// The symbolic name of an errno, e.g. "ENOSPC"; "E<number>" for one this table does not know.
std::string errno_name(int error_number);

struct Error {
  Code code = Code::ERR_INTERNAL;
  int error_number = 0;  // errno of the failed system call; 0 when none failed
  std::string
      operation;       // the system call's name or the step ("gunzip", "pax header"); never empty
  std::string detail;  // what was wrong, or further arguments of the call; may be empty
  std::string path;    // path inside the layer (raw bytes), or of a host file; may be empty

  // `operation(path, detail): ENAME` for a system call, `path: detail` for the rest.
  std::string message() const;
};

// An error of a failed system call. The code follows from errno: ENOSPC and EDQUOT are
// ERR_NO_SPACE, EPERM, EACCES and EROFS are ERR_PERMISSION, ENOENT is ERR_NOT_FOUND, all else is
// ERR_IO.
Error system_error(int error_number, std::string operation, std::string path,
                   std::string detail = {});

// An error of bad input: no errno.
Error input_error(Code code, std::string operation, std::string path, std::string detail);

}  // namespace ociunpack
