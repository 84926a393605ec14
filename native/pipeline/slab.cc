#include "pipeline/slab.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <vector>

namespace ociunpack {
namespace {

// Slabs are mapped, not malloc'ed, so that a freed one goes back to the kernel at once; populated,
// because every page will be written and 64 page faults cost more than one call.
Slab* map_slab(SlabPool* pool, size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  Slab* slab = new (std::nothrow) Slab;
  if (!slab) {
    ::munmap(data, bytes);
    return nullptr;
  }
  slab->pool = pool;
  slab->data = static_cast<uint8_t*>(data);
  slab->capacity = bytes;
  return slab;
}

void unmap_slab(Slab* slab) {
  ::munmap(slab->data, slab->capacity);
  delete slab;
}

}  // namespace

SlabPool::SlabPool(size_t budget, size_t slab_bytes, size_t kept_free_bytes)
    : slab_bytes_(slab_bytes),
      kept_free_limit_(kept_free_bytes),
      budget_(std::max(budget, slab_bytes)) {}

SlabPool::~SlabPool() {
  while (Slab* slab = free_) {
    free_ = slab->next_free;
    unmap_slab(slab);
  }
}

SlabPool& SlabPool::instance() {
  // Leaked: workers may still drop references while the process exits.
  static SlabPool* const pool = new SlabPool;
  return *pool;
}

Slab* SlabPool::take() {
  if (in_use_ + slab_bytes_ > budget_) return nullptr;
  Slab* slab = free_;
  if (slab) {
    free_ = slab->next_free;
    free_bytes_ -= slab_bytes_;
  } else {
    slab = map_slab(this, slab_bytes_);
    if (!slab) return nullptr;
  }
  in_use_ += slab_bytes_;
  peak_ = std::max(peak_, in_use_);
  slab->size = 0;
  slab->references.store(1, std::memory_order_relaxed);
  return slab;
}

SlabRef SlabPool::try_acquire() {
  const std::lock_guard lock(mutex_);
  return waiters_.empty() ? SlabRef(take()) : SlabRef();
}

void SlabPool::when_available(std::function<void(SlabRef)> callback) {
  Slab* slab = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (waiters_.empty()) slab = take();
    if (!slab && in_use_ > 0) {
      waiters_.push_back(std::move(callback));
      return;
    }
  }
  callback(SlabRef(slab));
}

void SlabPool::release(Slab* slab) {
  std::function<void(SlabRef)> waiter;
  {
    const std::lock_guard lock(mutex_);
    if (!waiters_.empty() && in_use_ <= budget_) {
      // Handed on: the slab stays in use.
      waiter = std::move(waiters_.front());
      waiters_.pop_front();
      slab->size = 0;
      slab->references.store(1, std::memory_order_relaxed);
    } else {
      in_use_ -= slab_bytes_;
      if (free_bytes_ + slab_bytes_ <= kept_free_limit_) {
        slab->next_free = free_;
        free_ = slab;
        free_bytes_ += slab_bytes_;
        return;
      }
    }
  }
  if (waiter) {
    waiter(SlabRef(slab));
  } else {
    unmap_slab(slab);
  }
}

void SlabPool::set_budget(size_t bytes) {
  std::vector<std::pair<std::function<void(SlabRef)>, Slab*>> served;
  {
    const std::lock_guard lock(mutex_);
    budget_ = std::max(bytes, slab_bytes_);
    while (!waiters_.empty()) {
      Slab* slab = take();
      if (!slab) break;
      served.emplace_back(std::move(waiters_.front()), slab);
      waiters_.pop_front();
    }
  }
  for (auto& [waiter, slab] : served) waiter(SlabRef(slab));
}

size_t SlabPool::budget() const {
  const std::lock_guard lock(mutex_);
  return budget_;
}

size_t SlabPool::in_use() const {
  const std::lock_guard lock(mutex_);
  return in_use_;
}

size_t SlabPool::peak_in_use() const {
  const std::lock_guard lock(mutex_);
  return peak_;
}

size_t SlabPool::kept_free() const {
  const std::lock_guard lock(mutex_);
  return free_bytes_;
}

}  // namespace ociunpack
