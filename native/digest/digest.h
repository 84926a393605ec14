// Digests of content: `algorithm:hex` strings of the OCI image-spec (descriptor.md, "Digests"), and
// the hashing behind them, by OpenSSL's EVP (SHA-NI and the like are chosen by OpenSSL at run
// time).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

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
  // "sha256" or "sha512". ERR_INVALID_ARGUMENT for others, ERR_INTERNAL when OpenSSL refuses.
  static Result<Hasher> create(std::string_view algorithm);

  void update(std::span<const uint8_t> bytes);

  // Ends the hash: lower-case hex digits. Call once; update() must not follow.
  std::string hex();

  // hex() with the algorithm before it.
  Digest finish();

  std::string_view algorithm() const { return algorithm_; }

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  Hasher(std::string_view algorithm, evp_md_ctx_st* context);

  std::string algorithm_;
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace ociunpack
