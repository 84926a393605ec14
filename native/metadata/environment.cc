#include "metadata/environment.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <map>
#include <utility>

namespace ociunpack {
namespace {

// Address space, not memory or disk: what the data can grow to while it is open.
constexpr size_t kMapSize = size_t{16} << 30;
constexpr size_t kMinMapSize = size_t{64} << 20;

using FileId = MetadataEnvironment::FileId;

struct Registry {
  std::mutex mutex;  // held while one is opened or closed
  std::condition_variable closed;
  // One that has expired is about to be closed, which takes it out of here.
  std::map<FileId, std::weak_ptr<MetadataEnvironment>> open;
};

// Never destroyed: environments of worker threads may be closed while the process ends.
Registry& registry() {
  static Registry* const registry = new Registry;
  return *registry;
}

std::optional<FileId> id_of(const std::string& directory) {
  struct stat status;
  if (::stat((directory + "/data.mdb").c_str(), &status) != 0) return std::nullopt;
  return FileId{status.st_dev, status.st_ino};
}

// The most that can be had: a limit on address space (ulimit -v) may leave less.
size_t map_size() {
  size_t size = kMapSize;
  for (; size > kMinMapSize; size /= 2) {
    void* const probe =
        ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (probe != MAP_FAILED) {
      ::munmap(probe, size);
      break;
    }
  }
  return size;
}

// What LMDB's own codes mean (lmdb.h); mdb_strerror would be shared by all threads.
Error lmdb_error(int code, const char* call, const std::string& directory) {
  if (code > 0) return system_error(code, call, directory);
  const auto told = [&](Code meaning, std::string what) {
    return input_error(meaning, call, directory, std::string(call) + ": " + std::move(what));
  };
  switch (code) {
    case MDB_READERS_FULL:
      return told(Code::ERR_STORE_BUSY, "too many processes and threads are reading");
    case MDB_MAP_FULL:
      return told(Code::ERR_NO_SPACE, "has grown to what can be mapped");
    case MDB_PAGE_NOTFOUND:
    case MDB_CORRUPTED:
      return told(Code::ERR_STORE_CORRUPT, "a page is damaged");
    case MDB_BAD_VALSIZE:
      return told(Code::ERR_INVALID_ARGUMENT, "a key is too long");
    case MDB_PANIC:
      return told(Code::ERR_STORE_CORRUPT, "an earlier write has failed in the middle");
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID:
      return told(Code::ERR_STORE_CORRUPT, "is not a database of this version");
    default:
      return told(Code::ERR_IO, "LMDB's error " + std::to_string(code));
  }
}

unsigned flags_of(const MetadataOptions& options) {
  // Read transactions belong to objects, not to threads: a thread may have several.
  unsigned flags = MDB_NOTLS;
  if (options.read_only) flags |= MDB_RDONLY;
  if (!options.sync) flags |= MDB_NOSYNC;
  return flags;
}

}  // namespace

Result<std::shared_ptr<MetadataEnvironment>> MetadataEnvironment::open(
    const std::string& directory, const MetadataOptions& options) {
  Registry& all = registry();
  std::unique_lock lock(all.mutex);
  for (;;) {
    const auto id = id_of(directory);
    const auto found = id ? all.open.find(*id) : all.open.end();
    if (found == all.open.end()) break;
    if (auto shared = found->second.lock()) {
      unsigned flags = 0;
      mdb_env_get_flags(shared->env_, &flags);
      if (!options.read_only && (flags & MDB_RDONLY)) {
        return system_error(EACCES, "mdb_env_open", directory,
                            "is open in this process for reading only");
      }
      // Whoever wants that commits wait for the disk has it.
      if (options.sync) mdb_env_set_flags(shared->env_, MDB_NOSYNC, 0);
      return shared;
    }
    all.closed.wait(lock);
  }
  // For writing even where nothing will be written, so that a later writer of this process can
  // share it.
  MetadataOptions wanted = options;
  wanted.read_only = false;
  auto opened = open_new(directory, wanted);
  if (!opened.ok() && options.read_only) {
    const int why = opened.error().error_number;
    if (why == EACCES || why == EPERM || why == EROFS) opened = open_new(directory, options);
    if (!opened.ok() && opened.error().error_number == EACCES) {
      // Without it a writer would not know what is being read, and would write over it.
      opened.error().detail = "reading needs the right to write lock.mdb";
    }
  }
  if (!opened.ok()) return std::move(opened).error();
  if (const auto id = id_of(directory)) {
    all.open[*id] = opened.value();
    opened.value()->id_ = id;
  }
  return opened;
}

Result<std::shared_ptr<MetadataEnvironment>> MetadataEnvironment::open_new(
    const std::string& directory, const MetadataOptions& options) {
  MDB_env* env = nullptr;
  if (const int code = mdb_env_create(&env)) return lmdb_error(code, "mdb_env_create", directory);
  // From here on it is closed whatever happens.
  std::shared_ptr<MetadataEnvironment> opened(new MetadataEnvironment(env, directory));
  OCIUNPACK_TRY(opened->open_here(options));
  return opened;
}

Status MetadataEnvironment::open_here(const MetadataOptions& options) {
  const auto check = [&](int code, const char* call) -> Status {
    if (code != 0) return lmdb_error(code, call, directory_);
    return {};
  };
  OCIUNPACK_TRY(check(mdb_env_set_maxreaders(env_, options.max_readers), "mdb_env_set_maxreaders"));
  OCIUNPACK_TRY(check(mdb_env_set_mapsize(env_, map_size()), "mdb_env_set_mapsize"));
  OCIUNPACK_TRY(
      check(mdb_env_open(env_, directory_.c_str(), flags_of(options), 0664), "mdb_env_open"));
  int dead = 0;  // slots of readers that were killed
  OCIUNPACK_TRY(check(mdb_reader_check(env_, &dead), "mdb_reader_check"));
  MDB_txn* transaction = nullptr;
  OCIUNPACK_TRY(check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &transaction), "mdb_txn_begin"));
  const int code = mdb_dbi_open(transaction, nullptr, 0, &database_);
  mdb_txn_abort(transaction);
  return check(code, "mdb_dbi_open");
}

MetadataEnvironment::~MetadataEnvironment() {
  if (!id_) {
    mdb_env_close(env_);  // could not be opened: open() has the registry's mutex
    return;
  }
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  mdb_env_close(env_);
  all.open.erase(*id_);
  all.closed.notify_all();
}

Error MetadataEnvironment::error(int code, const char* call) const {
  const std::lock_guard lock(mutex_);
  if (failed_ && (code == MDB_PANIC || code == EINVAL)) {
    Error first = *failed_;
    first.detail += first.detail.empty() ? "" : "; ";
    first.detail += "close the store and open it again";
    return first;
  }
  return lmdb_error(code, call, directory_);
}

void MetadataEnvironment::remember(const Error& failed) {
  const std::lock_guard lock(mutex_);
  if (!failed_) failed_ = failed;
}

}  // namespace ociunpack
