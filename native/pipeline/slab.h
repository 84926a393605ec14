// Slabs: reference-counted blocks of uncompressed tar that decode fills once and hash, parse and
// writers read without a copy. Why this is fast: a slab is recycled last-in first-out, so that the
// next one is still in the cache and its pages are already there; taking one is one short lock for
// 256 KiB. The pool's budget bounds the memory of the whole process and gives backpressure.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <utility>

namespace ociunpack {

class SlabPool;

struct Slab {
  std::atomic<uint32_t> references{0};
  SlabPool* pool = nullptr;
  uint8_t* data = nullptr;
  size_t capacity = 0;
  size_t size = 0;
  Slab* next_free = nullptr;
};

// A counted reference to a slab; empty when default-constructed or moved from. Copies may be made
// and dropped on any thread. The bytes may be written only before the reference is first shared.
class SlabRef {
 public:
  SlabRef() = default;
  SlabRef(const SlabRef& other) : slab_(other.slab_) {
    if (slab_) slab_->references.fetch_add(1, std::memory_order_relaxed);
  }
  SlabRef(SlabRef&& other) noexcept : slab_(std::exchange(other.slab_, nullptr)) {}
  SlabRef& operator=(SlabRef other) noexcept {
    std::swap(slab_, other.slab_);
    return *this;
  }
  ~SlabRef() { reset(); }

  explicit operator bool() const { return slab_ != nullptr; }
  void reset();

  // SAFETY: the rest only on a reference that is not empty.
  uint8_t* data() const { return slab_->data; }
  size_t capacity() const { return slab_->capacity; }
  size_t size() const { return slab_->size; }  // bytes filled; 0 on a new slab
  void set_size(size_t size) { slab_->size = size; }
  std::span<const uint8_t> bytes() const { return {slab_->data, slab_->size}; }
  // What is still to be filled.
  std::span<uint8_t> space() const {
    return {slab_->data + slab_->size, slab_->capacity - slab_->size};
  }

 private:
  friend class SlabPool;
  explicit SlabRef(Slab* slab) : slab_(slab) {}
  Slab* slab_ = nullptr;
};

class SlabPool {
 public:
  static constexpr size_t kSlabBytes = 256 << 10;
  static constexpr size_t kDefaultBudget = 128 << 20;
  static constexpr size_t kKeptFreeBytes = 16 << 20;

  explicit SlabPool(size_t budget = kDefaultBudget, size_t slab_bytes = kSlabBytes,
                    size_t kept_free_bytes = kKeptFreeBytes);
  // Every slab must have come back before.
  ~SlabPool();
  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;

  // The pool of the process; never destroyed.
  static SlabPool& instance();

  // A slab with size 0, or an empty reference when the budget is used up or somebody waits already.
  SlabRef try_acquire();

  // Calls back once, with a slab: at once on this thread when there is one, else on the thread that
  // frees one; in the order of asking. The callback should only post a task. One who no longer
  // wants the slab drops it, and the next in the queue gets it: no wake-up is lost. The reference
  // is empty only when memory cannot be had and no slab is in use that could come back.
  void when_available(std::function<void(SlabRef)> callback);

  // At least one slab. A lower budget takes effect as slabs come back.
  void set_budget(size_t bytes);
  size_t budget() const;
  size_t in_use() const;  // bytes of the slabs handed out
  size_t peak_in_use() const;
  size_t kept_free() const;  // bytes of the slabs kept for the next ones

 private:
  friend class SlabRef;
  Slab* take();  // holds mutex_; null when the budget is used up or memory cannot be had
  void release(Slab* slab);

  const size_t slab_bytes_;
  const size_t kept_free_limit_;
  mutable std::mutex mutex_;
  size_t budget_;
  size_t in_use_ = 0;
  size_t peak_ = 0;
  size_t free_bytes_ = 0;
  Slab* free_ = nullptr;  // the slab freed last comes first
  std::deque<std::function<void(SlabRef)>> waiters_;
};

inline void SlabRef::reset() {
  if (Slab* slab = std::exchange(slab_, nullptr)) {
    // acq_rel: what every holder did with the bytes happens before the slab is filled again.
    if (slab->references.fetch_sub(1, std::memory_order_acq_rel) == 1) slab->pool->release(slab);
  }
}

}  // namespace ociunpack
