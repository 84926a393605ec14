// Task: a move-only `void()` that keeps up to 64 bytes of captures without an allocation. It is run
// at most once; one that is destroyed unrun only destroys its captures.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace ociunpack {

class Task {
 public:
  static constexpr size_t kInlineBytes = 64;

  Task() = default;
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Task> &&
           std::is_invocable_v<std::remove_cvref_t<F>&>)
      Task(F&& function) {  // NOLINT: implicit, so that a lambda can be posted
    using Function = std::remove_cvref_t<F>;
    if constexpr (sizeof(Function) <= kInlineBytes &&
                  alignof(Function) <= alignof(std::max_align_t) &&
                  std::is_nothrow_move_constructible_v<Function>) {
      ::new (storage_) Function(std::forward<F>(function));
      actions_ = &kActions<Function>;
    } else {
      using Box = Boxed<Function>;
      ::new (storage_) Box{std::make_unique<Function>(std::forward<F>(function))};
      actions_ = &kActions<Box>;
    }
  }
  Task(Task&& other) noexcept : actions_(std::exchange(other.actions_, nullptr)) {
    if (actions_) actions_->relocate(other.storage_, storage_);
  }
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      reset();
      actions_ = std::exchange(other.actions_, nullptr);
      if (actions_) actions_->relocate(other.storage_, storage_);
    }
    return *this;
  }
  ~Task() { reset(); }

  explicit operator bool() const { return actions_ != nullptr; }
  // SAFETY: only on a task that is not empty.
  void operator()() { actions_->run(storage_); }

  void reset() {
    if (actions_) std::exchange(actions_, nullptr)->destroy(storage_);
  }

 private:
  struct Actions {
    void (*run)(void*);
    void (*relocate)(void* from, void* to);  // move-constructs `to`, destroys `from`
    void (*destroy)(void*);
  };
  template <typename F>
  struct Boxed {
    std::unique_ptr<F> function;
    void operator()() { (*function)(); }
  };
  template <typename F>
  static constexpr Actions kActions = {
      [](void* self) { (*std::launder(static_cast<F*>(self)))(); },
      [](void* from, void* to) {
        F* source = std::launder(static_cast<F*>(from));
        ::new (to) F(std::move(*source));
        source->~F();
      },
      [](void* self) { std::launder(static_cast<F*>(self))->~F(); },
  };

  const Actions* actions_ = nullptr;
  alignas(std::max_align_t) std::byte storage_[kInlineBytes];
};

}  // namespace ociunpack
