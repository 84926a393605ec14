// Digests of content: `algorithm:hex` strings of the OCI image-spec (descriptor.md, "Digests"), and
// the hashing behind them: by OpenSSL's EVP, and sha256 on processors with SHA extensions by our
// own code, which can do two streams at once (sha256.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "digest/sha256.h"

struct evp_md_ctx_st;

namespace ociunpack {

struct Digest {
  std::string algorithm;  // "sha256" or "sha512"
  std::string hex;        // lower case, 64 or 128 digits

  // Parses "sha256:<64 hex>" or "sha512:<128 hex>"; ERR_INVALID_ARGUMENT otherwise.
  static Result<Digest> parse(std::string_view text);

  std::string to_string() const { return algorithm + ":" + hex; }
  bool operator==(const Digest&) const = default;
};

// Hashes a stream of bytes. One thread at a time.
class Hasher {
 public:
  // kOpenssl keeps to OpenSSL, for comparison.
  enum class Engine : uint8_t { kFastest, kOpenssl };

  // "sha256" or "sha512". ERR_INVALID_ARGUMENT for others, ERR_INTERNAL when OpenSSL refuses.
  static Result<Hasher> create(std::string_view algorithm, Engine engine = Engine::kFastest);

  void update(std::span<const uint8_t> bytes);

  // update() of two hashers, at the price of little more than one where both are sha256 and the
  // processor can. `a` and `b` are not the same.
  static void update_both(Hasher& a, std::span<const uint8_t> a_bytes, Hasher& b,
                          std::span<const uint8_t> b_bytes);

  // Ends the hash: lower-case hex digits. Call once; update() must not follow.
  std::string hex();

  // hex() with the algorithm before it.
  Digest finish();

  std::string_view algorithm() const { return algorithm_; }

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  using Evp = std::unique_ptr<evp_md_ctx_st, Free>;
  using State = std::variant<Evp, Sha256>;
  Hasher(std::string_view algorithm, State state)
      : algorithm_(algorithm), state_(std::move(state)) {}

  std::string algorithm_;
  State state_;
};

}  // namespace ociunpack
