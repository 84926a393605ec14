#include "floor/sha256.h"

#include <dlfcn.h>

#include <utility>

namespace ociunpack::bench {
namespace {

// The part of EVP_DigestInit(3) that is needed; the same in OpenSSL 1.1 and 3.
struct Crypto {
  void* (*context_new)() = nullptr;
  void (*context_free)(void*) = nullptr;
  const void* (*sha256)() = nullptr;
  int (*init)(void*, const void*, void*) = nullptr;
  int (*update)(void*, const void*, size_t) = nullptr;
  int (*final)(void*, unsigned char*, unsigned*) = nullptr;
};

const Crypto* load_crypto() {
  void* handle = nullptr;
  for (const char* name : {"libcrypto.so.3", "libcrypto.so.1.1"}) {
    handle = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (handle) break;
  }
  if (!handle) return nullptr;
  static Crypto crypto;
  const auto find = [handle](auto* function, const char* name) {
    *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(::dlsym(handle, name));
    return *function != nullptr;
  };
  const bool complete =
      find(&crypto.context_new, "EVP_MD_CTX_new") &&
      find(&crypto.context_free, "EVP_MD_CTX_free") && find(&crypto.sha256, "EVP_sha256") &&
      find(&crypto.init, "EVP_DigestInit_ex") && find(&crypto.update, "EVP_DigestUpdate") &&
      find(&crypto.final, "EVP_DigestFinal_ex");
  return complete ? &crypto : nullptr;
}

const Crypto* crypto() {
  static const Crypto* const loaded = load_crypto();
  return loaded;
}

}  // namespace

Result<Sha256> Sha256::create() {
  if (!crypto()) {
    return input_error(Code::ERR_UNSUPPORTED, "dlopen", "libcrypto.so.3",
                       "OpenSSL is not installed (Debian: apt-get install libssl3)");
  }
  void* context = crypto()->context_new();
  if (!context || crypto()->init(context, crypto()->sha256(), nullptr) != 1) {
    if (context) crypto()->context_free(context);
    return input_error(Code::ERR_UNSUPPORTED, "EVP_DigestInit_ex", {}, "OpenSSL has no sha256");
  }
  return Sha256(context);
}

Sha256::Sha256(Sha256&& other) noexcept : context_(std::exchange(other.context_, nullptr)) {}

Sha256::~Sha256() {
  if (context_) crypto()->context_free(context_);
}

void Sha256::update(std::span<const uint8_t> bytes) {
  crypto()->update(context_, bytes.data(), bytes.size());
}

std::string Sha256::finish() {
  unsigned char digest[64];
  unsigned size = 0;
  crypto()->final(context_, digest, &size);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text = "sha256:";
  for (unsigned i = 0; i < size; i++) {
    text += kHex[digest[i] >> 4];
    text += kHex[digest[i] & 15];
  }
  return text;
}

}  // namespace ociunpack::bench
