#include "floor/floor.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/unique_fd.h"
#include "decode/decoder.h"
#include "floor/buffer.h"
#include "floor/create.h"
#include "floor/plan.h"
#include "floor/sha256.h"

namespace ociunpack::bench {
namespace {

// A piece is hashed while it is still in the cache, as an unpacker would do.
constexpr size_t kPiece = 256 << 10;

// The blob, in memory before anything is timed.
class MappedBlob {
 public:
  static Result<MappedBlob> open(const BlobWindow& window) {
    const UniqueFd fd(::open(window.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return system_error(errno, "open", window.path);
    if (window.length == 0) return MappedBlob(nullptr, 0, 0);
    const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t lead = window.offset % page;
    void* data = ::mmap(nullptr, window.length + lead, PROT_READ, MAP_PRIVATE | MAP_POPULATE,
                        fd.get(), static_cast<off_t>(window.offset - lead));
    if (data == MAP_FAILED) return system_error(errno, "mmap", window.path);
    return MappedBlob(data, window.length, lead);
  }
  MappedBlob(MappedBlob&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(other.size_), lead_(other.lead_) {}
  MappedBlob(const MappedBlob&) = delete;
  MappedBlob& operator=(const MappedBlob&) = delete;
  ~MappedBlob() {
    if (data_) ::munmap(data_, size_ + lead_);
  }
  std::span<const uint8_t> bytes() const {
    return {static_cast<const uint8_t*>(data_) + lead_, size_};
  }

 private:
  MappedBlob(void* data, size_t size, size_t lead) : data_(data), size_(size), lead_(lead) {}
  void* data_;
  size_t size_;
  size_t lead_;
};

Status hash_blob(std::span<const uint8_t> blob, LayerFloor* floor) {
  OCIUNPACK_ASSIGN(Sha256 hash, Sha256::create());
  const Stopwatch watch(&floor->hash_blob);
  hash.update(blob);
  floor->digest = hash.finish();
  return {};
}

Status inflate(std::span<const uint8_t> blob, Buffer* tar, LayerFloor* floor) {
  OCIUNPACK_ASSIGN(Sha256 hash, Sha256::create());
  OCIUNPACK_ASSIGN(const Compression compression,
                   detect(blob.first(std::min(blob.size(), kDetectBytes))));
  const auto decoder = make_decoder(compression, {});
  floor->decoder = decoder->name();
  for (bool finished = false; !finished;) {
    OCIUNPACK_ASSIGN(const std::span<uint8_t> space, tar->space(kPiece));
    size_t produced = 0;
    {
      const Stopwatch watch(&floor->inflate);
      while (produced < space.size() && !finished) {
        OCIUNPACK_ASSIGN(const DecodeStep step,
                         decoder->decode(blob, true, space.subspan(produced)));
        blob = blob.subspan(step.consumed);
        produced += step.produced;
        finished = step.finished;
      }
    }
    tar->use(produced);
    const Stopwatch watch(&floor->hash_tar);
    hash.update(space.first(produced));
  }
  floor->tar_bytes = tar->bytes().size();
  floor->diff_id = hash.finish();
  return {};
}

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return system_error(errno, "mkdir", path);
}

size_t memory_for_tar() {
  const auto pages = static_cast<size_t>(::sysconf(_SC_AVPHYS_PAGES));
  const auto all = static_cast<size_t>(::sysconf(_SC_PHYS_PAGES));
  // Page cache is not counted as available; half of all memory may be taken from it.
  return std::max(pages, all / 2) * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

Result<std::vector<LayerFloor>> measure_floor(const std::string& destination,
                                              const std::vector<BlobWindow>& layers) {
  ::umask(0);
  // One descriptor for each directory of a layer.
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);

  OCIUNPACK_TRY(make_directory(destination));
  OCIUNPACK_TRY(make_directory(destination + "/layers"));
  std::vector<LayerFloor> result;
  Buffer tar(memory_for_tar());
  for (const BlobWindow& layer : layers) {
    LayerFloor floor;
    {
      OCIUNPACK_ASSIGN(const MappedBlob blob, MappedBlob::open(layer));
      OCIUNPACK_TRY(hash_blob(blob.bytes(), &floor));
      tar.clear();
      OCIUNPACK_TRY(inflate(blob.bytes(), &tar, &floor));
    }
    OCIUNPACK_ASSIGN(const Plan plan, plan_layer(tar.bytes()));
    char number[16];
    std::snprintf(number, sizeof number, "%03zu", result.size());
    const std::string parent = destination + "/layers/" + number;
    OCIUNPACK_TRY(make_directory(parent));
    OCIUNPACK_TRY(make_directory(parent + "/fs"));
    Created created;
    {
      const Stopwatch watch(&floor.create);
      OCIUNPACK_ASSIGN(created, create_layer(plan, parent + "/fs"));
    }
    floor.files = plan.files;
    floor.items = created.items;
    floor.failed = created.failed;
    floor.first_failure = created.first_failure;
    result.push_back(std::move(floor));
  }
  return result;
}

}  // namespace ociunpack::bench
