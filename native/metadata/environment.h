// MetadataEnvironment: the LMDB environment of one directory. A process has each at most once:
// closing a second one would let go of the locks (fcntl(2)) by which other processes see that this
// one reads (lmdb.h).
#pragma once

#include <lmdb.h>
#include <sys/types.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"

namespace ociunpack {

struct MetadataOptions {
  bool read_only = false;
  bool sync = true;            // false: commits do not wait for the disk
  unsigned max_readers = 126;  // of all processes; fixed by the first that opens
};

class MetadataEnvironment {
 public:
  // Opens the environment in `directory`, which exists, or shares the one that this process has
  // open (with the options of who opened it first). Read-only shares one that is open for writing,
  // but not the other way round: that fails with EACCES. Any thread.
  static Result<std::shared_ptr<MetadataEnvironment>> open(const std::string& directory,
                                                           const MetadataOptions& options);
  ~MetadataEnvironment();
  MetadataEnvironment(const MetadataEnvironment&) = delete;
  MetadataEnvironment& operator=(const MetadataEnvironment&) = delete;

  // A file, by what stays the same whatever it is called.
  using FileId = std::pair<dev_t, ino_t>;

  MDB_env* handle() const { return env_; }
  MDB_dbi database() const { return database_; }
  const std::string& directory() const { return directory_; }

  // The error of an LMDB call that returned `code`, which is not 0: an errno, or one of lmdb.h.
  Error error(int code, const char* call) const;
  // A commit has failed. LMDB may refuse all that follows (MDB_PANIC): error() then tells this one.
  void remember(const Error& failed);

 private:
  MetadataEnvironment(MDB_env* env, std::string directory)
      : env_(env), directory_(std::move(directory)) {}
  static Result<std::shared_ptr<MetadataEnvironment>> open_new(const std::string& directory,
                                                               const MetadataOptions& options);
  Status open_here(const MetadataOptions& options);

  MDB_env* env_;
  MDB_dbi database_ = 0;
  std::optional<FileId> id_;  // of those that can be shared
  std::string directory_;
  mutable std::mutex mutex_;
  std::optional<Error> failed_;
};

}  // namespace ociunpack
