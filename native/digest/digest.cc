#include "digest/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

namespace ociunpack {
namespace {

struct Algorithm {
  std::string_view name;
  size_t hex_digits;
  const EVP_MD* (*evp)();
};

// The algorithms that the image-spec registers.
constexpr Algorithm kAlgorithms[] = {{"sha256", 64, ::EVP_sha256}, {"sha512", 128, ::EVP_sha512}};

const Algorithm* find_algorithm(std::string_view name) {
  for (const Algorithm& algorithm : kAlgorithms) {
    if (algorithm.name == name) return &algorithm;
  }
  return nullptr;
}

bool is_hex_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

Error invalid(std::string detail) {
  return input_error(Code::ERR_INVALID_ARGUMENT, "digest", {}, std::move(detail));
}

}  // namespace

Result<Digest> Digest::parse(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    return invalid("\"" + std::string(text) + "\" is not a digest (algorithm:hex)");
  }
  const std::string_view name = text.substr(0, colon);
  const std::string_view hex = text.substr(colon + 1);
  const Algorithm* algorithm = find_algorithm(name);
  if (!algorithm) {
    return invalid("digest algorithm \"" + std::string(name) +
                   "\" is not supported; sha256 and sha512 are");
  }
  if (hex.size() != algorithm->hex_digits || !std::all_of(hex.begin(), hex.end(), is_hex_digit)) {
    return invalid("\"" + std::string(text) + "\" does not have " +
                   std::to_string(algorithm->hex_digits) + " lower-case hex digits");
  }
  return Digest{std::string(name), std::string(hex)};
}

void Hasher::Free::operator()(evp_md_ctx_st* context) const { ::EVP_MD_CTX_free(context); }

Result<Hasher> Hasher::create(std::string_view algorithm, Engine engine) {
  const Algorithm* known = find_algorithm(algorithm);
  if (!known) {
    return invalid("digest algorithm \"" + std::string(algorithm) +
                   "\" is not supported; sha256 and sha512 are");
  }
  if (engine == Engine::kFastest && known->name == "sha256" && Sha256::available()) {
    return Hasher(known->name, Sha256());
  }
  Evp context(::EVP_MD_CTX_new());
  if (!context || !::EVP_DigestInit_ex(context.get(), known->evp(), nullptr)) {
    return input_error(Code::ERR_INTERNAL, "EVP_DigestInit_ex", {},
                       "OpenSSL refuses " + std::string(algorithm));
  }
  return Hasher(known->name, std::move(context));
}

void Hasher::update(std::span<const uint8_t> bytes) {
  if (auto* sha256 = std::get_if<Sha256>(&state_)) return sha256->update(bytes);
  // Cannot fail for a built-in digest after a successful init.
  ::EVP_DigestUpdate(std::get<Evp>(state_).get(), bytes.data(), bytes.size());
}

void Hasher::update_both(Hasher& a, std::span<const uint8_t> a_bytes, Hasher& b,
                         std::span<const uint8_t> b_bytes) {
  auto* a_sha256 = std::get_if<Sha256>(&a.state_);
  auto* b_sha256 = std::get_if<Sha256>(&b.state_);
  if (a_sha256 != nullptr && b_sha256 != nullptr) {
    return Sha256::update_both(*a_sha256, a_bytes, *b_sha256, b_bytes);
  }
  a.update(a_bytes);
  b.update(b_bytes);
}

std::string Hasher::hex() {
  static constexpr char kDigits[] = "0123456789abcdef";
  unsigned char value[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (auto* sha256 = std::get_if<Sha256>(&state_)) {
    const Sha256::Value own = sha256->finish();
    std::copy(own.begin(), own.end(), value);
    size = own.size();
  } else {
    ::EVP_DigestFinal_ex(std::get<Evp>(state_).get(), value, &size);
  }
  std::string text;
  text.reserve(size_t{2} * size);
  for (unsigned i = 0; i < size; i++) {
    text += kDigits[value[i] >> 4];
    text += kDigits[value[i] & 15];
  }
  return text;
}

Digest Hasher::finish() {
  std::string digits = hex();
  return {algorithm_, std::move(digits)};
}

}  // namespace ociunpack
