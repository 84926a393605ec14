// Note: something that was skipped, dropped, escaped, clamped or settled while a layer was applied;
// the layer's report lists them all (SEMANTICS.md, "Nothing is silent").
#pragma once

#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace ociunpack {

struct Note {
  std::string kind;    // e.g. "xattr-dropped"; the table of kinds is in src/native/binding.d.ts
  std::string path;    // inside the layer, raw bytes, without a leading slash
  std::string detail;  // for a person
};

// Collects notes from all threads that work on a layer.
class NoteSink {
 public:
  void add(Note note) {
    const std::lock_guard lock(mutex_);
    notes_.push_back(std::move(note));
  }
  std::vector<Note> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(notes_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<Note> notes_;
};

}  // namespace ociunpack
