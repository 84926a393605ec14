#include "floor/floor.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "decode/decoder.h"
#include "floor/blob.h"
#include "floor/buffer.h"
#include "floor/create.h"
#include "floor/plan.h"
#include "floor/sha256.h"

namespace ociunpack::bench {
namespace {

// A piece is hashed while it is still in the cache, as an unpacker would do.
constexpr size_t kPiece = 256 << 10;

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
