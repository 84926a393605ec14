// sha256 by the host's OpenSSL, loaded at run time: this program must start where there is none.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace ociunpack::bench {

class Sha256 {
 public:
  // ERR_UNSUPPORTED where no libcrypto can be loaded.
  static Result<Sha256> create();
  Sha256(Sha256&& other) noexcept;
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  ~Sha256();

  void update(std::span<const uint8_t> bytes);
  // `sha256:` and 64 hex digits; once.
  std::string finish();

 private:
  explicit Sha256(void* context) : context_(context) {}
  void* context_;
};

}  // namespace ociunpack::bench
