#include "floor/blob.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/unique_fd.h"

namespace ociunpack::bench {

Result<MappedBlob> MappedBlob::open(const BlobWindow& window) {
  const UniqueFd fd(::open(window.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return system_error(errno, "open", window.path);
  if (window.length == 0) return MappedBlob(nullptr, 0, 0);
  const size_t lead = window.offset % static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  void* data = ::mmap(nullptr, window.length + lead, PROT_READ, MAP_PRIVATE | MAP_POPULATE,
                      fd.get(), static_cast<off_t>(window.offset - lead));
  if (data == MAP_FAILED) return system_error(errno, "mmap", window.path);
  return MappedBlob(data, window.length, lead);
}

MappedBlob::MappedBlob(MappedBlob&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(other.size_), lead_(other.lead_) {}

MappedBlob::~MappedBlob() {
  if (data_) ::munmap(data_, size_ + lead_);
}

}  // namespace ociunpack::bench
