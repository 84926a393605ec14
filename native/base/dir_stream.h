// DirStream: the names of one directory, read in turn; owns its descriptor from the beginning, also
// where there is no memory for the stream.
#pragma once

#include <dirent.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ociunpack {

class DirStream {
 public:
  DirStream() = default;

  // Of a descriptor that was opened for reading, from its first name on. `path`, `name`: for the
  // error.
  static Result<DirStream> open(UniqueFd fd, const std::string& path,
                                const std::string& name = {}) {
    DirStream opened;
    opened.stream_.reset(::fdopendir(fd.get()));
    if (!opened.valid()) return system_error(errno, "fdopendir", path, name);
    fd.release();  // closedir(3) closes it
    opened.rewind();
    return opened;
  }

  bool valid() const { return stream_ != nullptr; }
  int fd() const { return ::dirfd(stream_.get()); }
  void rewind() { ::rewinddir(stream_.get()); }
  void reset() { stream_.reset(); }

  // The next entry that is neither "." nor "..", valid until the one after it; null at the end.
  Result<const dirent*> next(const std::string& path) {
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(stream_.get());
      if (entry == nullptr && errno != 0) return system_error(errno, "readdir", path);
      if (entry == nullptr ||
          (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)) {
        return entry;
      }
    }
  }

 private:
  struct Close {
    void operator()(DIR* stream) const { ::closedir(stream); }
  };
  std::unique_ptr<DIR, Close> stream_;
};

}  // namespace ociunpack
