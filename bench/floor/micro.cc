#include "floor/micro.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "decode/decoder.h"
#include "floor/blob.h"
#include "floor/buffer.h"
#include "floor/clock.h"
#include "floor/create.h"
#include "floor/plan.h"
#include "floor/sha256.h"
#include "tar/reader.h"

namespace ociunpack::bench {
namespace {

// As big as the engine's slabs, so that what is measured stays in the cache as it does there.
constexpr size_t kPiece = 256 << 10;

Result<Micro> repeat(std::string name, std::string unit, unsigned runs,
                     const std::function<Result<uint64_t>(unsigned run)>& work) {
  Micro micro{std::move(name), std::move(unit), 0, {}};
  for (unsigned run = 0; run < runs; run++) {
    Seconds time;
    {
      const Stopwatch watch(&time);
      OCIUNPACK_ASSIGN(micro.amount, work(run));
    }
    micro.seconds.push_back(time.wall);
  }
  return micro;
}

// Into one piece of memory again and again: the decoder alone, without the memory's bandwidth.
Result<uint64_t> decode(std::span<const uint8_t> blob, bool force_zlib, std::string* name) {
  OCIUNPACK_ASSIGN(const Compression compression,
                   detect(blob.first(std::min(blob.size(), kDetectBytes))));
  DecodeOptions options;
  options.force_zlib = force_zlib;
  const auto decoder = make_decoder(compression, options);
  *name = decoder->name();
  std::vector<uint8_t> out(kPiece);
  uint64_t produced = 0;
  for (bool finished = false; !finished;) {
    OCIUNPACK_ASSIGN(const DecodeStep step, decoder->decode(blob, true, out));
    blob = blob.subspan(step.consumed);
    produced += step.produced;
    finished = step.finished;
  }
  return produced;
}

Status fill(std::span<const uint8_t> blob, Buffer* tar) {
  OCIUNPACK_ASSIGN(const Compression compression,
                   detect(blob.first(std::min(blob.size(), kDetectBytes))));
  const auto decoder = make_decoder(compression, {});
  for (bool finished = false; !finished;) {
    OCIUNPACK_ASSIGN(const std::span<uint8_t> space, tar->space(kPiece));
    OCIUNPACK_ASSIGN(const DecodeStep step, decoder->decode(blob, true, space));
    blob = blob.subspan(step.consumed);
    tar->use(step.produced);
    finished = step.finished;
  }
  return {};
}

Result<uint64_t> parse(std::span<const uint8_t> tar) {
  TarReader reader{Limits{}};
  while (!tar.empty()) {
    std::span<const uint8_t> piece = tar.first(std::min(tar.size(), kPiece));
    tar = tar.subspan(piece.size());
    for (;;) {
      OCIUNPACK_ASSIGN(const TarReader::Event event, reader.next(&piece));
      if (event.kind == TarReader::Event::kNeedMore) break;
    }
  }
  OCIUNPACK_TRY(reader.finish());
  return reader.entries();
}

}  // namespace

Result<std::vector<Micro>> measure_micro(const std::string& directory, const BlobWindow& layer,
                                         unsigned runs) {
  ::umask(0);
  std::vector<Micro> found;
  OCIUNPACK_ASSIGN(const MappedBlob mapped, MappedBlob::open(layer));
  const std::span<const uint8_t> blob = mapped.bytes();
  for (const bool force_zlib : {false, true}) {
    std::string name;
    OCIUNPACK_ASSIGN(Micro micro, repeat("", "bytes", runs, [&](unsigned) {
                       return decode(blob, force_zlib, &name);
                     }));
    micro.name = "inflate by " + name;
    const bool again = !found.empty() && found.front().name == micro.name;
    if (!again) found.push_back(std::move(micro));
  }

  Buffer tar(memory_for_tar());
  OCIUNPACK_TRY(fill(blob, &tar));
  OCIUNPACK_ASSIGN(Micro sha256, repeat("sha256", "bytes", runs, [&](unsigned) -> Result<uint64_t> {
                     OCIUNPACK_ASSIGN(Sha256 hash, Sha256::create());
                     hash.update(tar.bytes());
                     hash.finish();
                     return tar.bytes().size();
                   }));
  found.push_back(std::move(sha256));
  OCIUNPACK_ASSIGN(Micro parsed, repeat("parse the tar", "entries", runs,
                                        [&](unsigned) { return parse(tar.bytes()); }));
  found.push_back(std::move(parsed));

  OCIUNPACK_ASSIGN(const Plan plan, plan_layer(tar.bytes()));
  for (unsigned run = 0; run < runs; run++) {
    const std::string root = directory + "/" + std::to_string(run);
    if (::mkdir(root.c_str(), 0755) != 0) return system_error(errno, "mkdir", root);
  }
  OCIUNPACK_ASSIGN(Micro created,
                   repeat("create", "entries", runs, [&](unsigned run) -> Result<uint64_t> {
                     OCIUNPACK_ASSIGN(const Created made,
                                      create_layer(plan, directory + "/" + std::to_string(run)));
                     return made.items;
                   }));
  found.push_back(std::move(created));
  return found;
}

}  // namespace ociunpack::bench
