#include "floor/buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace ociunpack::bench {

Buffer::Buffer(size_t reserve) : reserve_(reserve) {
  void* data = ::mmap(nullptr, reserve, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return;
  data_ = static_cast<uint8_t*>(data);
  ::madvise(data_, reserve, MADV_HUGEPAGE);  // only faster where it works
}

Buffer::~Buffer() {
  if (data_) ::munmap(data_, reserve_);
}

Result<std::span<uint8_t>> Buffer::space(size_t size) {
  if (!data_ || used_ + size > reserve_) {
    return input_error(Code::ERR_LIMIT_EXCEEDED, "mmap", {},
                       "a layer does not fit into this machine's memory uncompressed");
  }
  constexpr size_t kStep = 32 << 20;
  while (used_ + size > present_) {
    const size_t end = std::min(reserve_, present_ + kStep);
    for (size_t at = present_; at < end; at += 4096) data_[at] = 0;
    present_ = end;
  }
  return std::span<uint8_t>(data_ + used_, size);
}

size_t memory_for_tar() {
  const auto pages = static_cast<size_t>(::sysconf(_SC_AVPHYS_PAGES));
  const auto all = static_cast<size_t>(::sysconf(_SC_PHYS_PAGES));
  // Page cache is not counted as available; half of all memory may be taken from it.
  return std::max(pages, all / 2) * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace ociunpack::bench
