// Raw deflate by ISA-L, loaded at run time where the machine has it: twice as fast as zlib and
// more, because it decodes two or three literals per table look-up with 64-bit reads, in assembly
// chosen by CPU; its CRC-32 folds with (V)PCLMULQDQ. The library reads ahead into a bit buffer: at
// the end of a stream the whole bytes left there are given back to the caller.
#include "decode/decoder.h"
#include "decode/inflate_engine.h"

#if __has_include(<isa-l/igzip_lib.h>) && __has_include(<isa-l/crc.h>)
#define OCIUNPACK_HAVE_ISAL_HEADERS 1
#include <dlfcn.h>
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#endif

namespace ociunpack {

#ifdef OCIUNPACK_HAVE_ISAL_HEADERS
namespace {

struct IsalLibrary {
  decltype(&::isal_inflate_init) init = nullptr;
  decltype(&::isal_inflate_reset) reset = nullptr;
  decltype(&::isal_inflate) inflate = nullptr;
  decltype(&::crc32_gzip_refl) crc = nullptr;
};

// The state is the library's to lay out: room for a later release of the same soname with a larger
// one. (The fields we touch stand at its beginning; the self-test would see them move.)
constexpr size_t kStateSlack = 16 << 10;

struct FreeState {
  void operator()(inflate_state* state) const { std::free(state); }
};

class IsalEngine final : public InflateEngine {
 public:
  explicit IsalEngine(const IsalLibrary& library)
      : library_(library),
        state_(static_cast<inflate_state*>(std::calloc(1, sizeof(inflate_state) + kStateSlack))) {
    if (!state_) return;
    library_.init(state_.get());
    state_->crc_flag = ISAL_DEFLATE;
  }
  bool ready() const { return state_ != nullptr; }

  void reset() override {
    library_.reset(state_.get());
    state_->crc_flag = ISAL_DEFLATE;
  }

  Step inflate(std::span<const uint8_t> in, std::span<uint8_t> out) override {
    const size_t in_size = std::min(in.size(), kMaxEngineBytes);
    const size_t out_size = std::min(out.size(), kMaxEngineBytes);
    // ISA-L only reads through next_in.
    state_->next_in = const_cast<uint8_t*>(in.data());
    state_->avail_in = static_cast<uint32_t>(in_size);
    state_->next_out = out.data();
    state_->avail_out = static_cast<uint32_t>(out_size);
    const int status = library_.inflate(state_.get());
    Step step;
    step.consumed = in_size - state_->avail_in;
    step.produced = out_size - state_->avail_out;
    switch (status) {
      case ISAL_DECOMP_OK:
      case ISAL_END_INPUT:
      case ISAL_OUT_OVERFLOW:
        break;
      case ISAL_INVALID_BLOCK:
        step.error = "invalid deflate block";
        return step;
      case ISAL_INVALID_SYMBOL:
        step.error = "invalid deflate symbol";
        return step;
      case ISAL_INVALID_LOOKBACK:
        step.error = "invalid distance too far back";
        return step;
      default:
        step.error = "invalid deflate data";
        return step;
    }
    if (state_->block_state == ISAL_BLOCK_FINISH) {
      step.ended = true;
      give_back(&step);
    }
    return step;
  }

  uint32_t crc(uint32_t crc, std::span<const uint8_t> bytes) const override {
    return library_.crc(crc, bytes.data(), bytes.size());
  }

  std::string_view name() const override { return "isa-l"; }

 private:
  // The bit buffer holds the next bits lowest first; the rest of the last byte is padding.
  void give_back(Step* step) const {
    const int bits = state_->read_in_length;
    if (bits <= 0) return;
    uint64_t buffer = state_->read_in >> (bits % 8);
    step->leftover_count = static_cast<uint8_t>(std::min(bits / 8, int{kMaxLeftover}));
    for (int i = 0; i < step->leftover_count; i++, buffer >>= 8) {
      step->leftover[i] = static_cast<uint8_t>(buffer);
    }
  }

  const IsalLibrary& library_;
  std::unique_ptr<inflate_state, FreeState> state_;
};

// Decodes a known stream, in one piece and byte by byte, with bytes after its end: a library whose
// ABI is not the one that this was compiled for must not be trusted with a layer.
bool self_test(const IsalLibrary& library) {
  // 'abcabcabcabcabcabcabc' as one final block of fixed codes, and what follows in a gzip member.
  static constexpr uint8_t kStream[] = {0x4b, 0x4c, 0x4a, 0x4e, 0xc4, 0x40, 0x00, 0xde,
                                        0xad, 0xbe, 0xef, 0x01, 0x02, 0x03, 0x04, 0x05};
  static constexpr size_t kDeflateBytes = 7;
  static constexpr std::string_view kText = "abcabcabcabcabcabcabc";
  if (library.crc(0, reinterpret_cast<const unsigned char*>("123456789"), 9) != 0xcbf43926) {
    return false;
  }
  IsalEngine engine(library);
  if (!engine.ready()) return false;
  for (const size_t piece : {sizeof kStream, size_t{1}}) {
    engine.reset();
    char out[64];
    size_t in_pos = 0;
    size_t out_pos = 0;
    InflateEngine::Step step;
    while (!step.ended) {
      const size_t size = std::min(piece, sizeof kStream - in_pos);
      step = engine.inflate({kStream + in_pos, size},
                            {reinterpret_cast<uint8_t*>(out) + out_pos, sizeof out - out_pos});
      in_pos += step.consumed;
      out_pos += step.produced;
      if (step.error || step.consumed > size || out_pos > sizeof out) return false;
      if (!step.ended && step.consumed == 0 && step.produced == 0) return false;
    }
    if (std::string_view(out, out_pos) != kText) return false;
    if (in_pos - step.leftover_count != kDeflateBytes) return false;
    if (std::memcmp(step.leftover, kStream + kDeflateBytes, step.leftover_count) != 0) return false;
  }
  return true;
}

const IsalLibrary* load_library() {
  // Never closed: engines may live as long as the process.
  void* handle = ::dlopen("libisal.so.2", RTLD_NOW | RTLD_LOCAL);
  if (!handle) return nullptr;
  static IsalLibrary library;
  const auto find = [handle](auto* function, const char* name) {
    *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(::dlsym(handle, name));
    return *function != nullptr;
  };
  const bool complete =
      find(&library.init, "isal_inflate_init") && find(&library.reset, "isal_inflate_reset") &&
      find(&library.inflate, "isal_inflate") && find(&library.crc, "crc32_gzip_refl");
  return complete && self_test(library) ? &library : nullptr;
}

const IsalLibrary* isal_library() {
  static const IsalLibrary* const library = load_library();
  return library;
}

}  // namespace

bool isal_available() { return isal_library() != nullptr; }

std::unique_ptr<InflateEngine> make_isal_engine() {
  const IsalLibrary* library = isal_library();
  if (!library) return nullptr;
  auto engine = std::make_unique<IsalEngine>(*library);
  if (!engine->ready()) return nullptr;
  return engine;
}

#else

bool isal_available() { return false; }
std::unique_ptr<InflateEngine> make_isal_engine() { return nullptr; }

#endif

}  // namespace ociunpack
