// Layers made of a few words, for the tests of native/tree: what a layer says goes through the
// planner and settle, and the tree that comes out is printed, a line a path.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tree/planner.h"
#include "tree/settle.h"

namespace ociunpack::test {

class Layer {
 public:
  Layer& dir(std::string path, uint32_t mode = 0755) {
    return add(EntryType::kDirectory, std::move(path), {}, mode);
  }
  Layer& file(std::string path, uint32_t mode = 0644) {
    return add(EntryType::kFile, std::move(path), {}, mode);
  }
  Layer& symlink(std::string path, std::string target) {
    return add(EntryType::kSymlink, std::move(path), std::move(target), 0777);
  }
  Layer& hardlink(std::string path, std::string target) {
    return add(EntryType::kHardlink, std::move(path), std::move(target), 0644);
  }
  Layer& body_of_last(uint64_t size) {
    entries_.back().body = size;
    return *this;
  }
  Layer& device(std::string path, uint32_t major, uint32_t minor) {
    add(EntryType::kCharDevice, std::move(path), {}, 0644);
    entries_.back().major = major;
    entries_.back().minor = minor;
    return *this;
  }

  // Plans and settles on `below`, planning again where settle asks for it, as the layer job does.
  Result<std::shared_ptr<const TreeView>> on(std::shared_ptr<const TreeView> below,
                                             SymlinkParents policy = SymlinkParents::kFollow) {
    std::shared_ptr<const TreeView> lower;
    replanned = false;
    for (;;) {
      auto tree = std::make_shared<LayerTree>();
      PlanOptions options;
      options.symlink_parents = policy;
      options.lower = lower.get();
      options.lower_unknown = below != nullptr && lower == nullptr;
      options.limits = limits;
      Planner planner(tree.get(), options);
      for (size_t i = 0; i < entries_.size(); ++i) {
        Entry entry;
        entry.type = entries_[i].type;
        entry.path = entries_[i].path;
        entry.linkpath = entries_[i].target;
        entry.mode = entries_[i].mode;
        entry.dev_major = entries_[i].major;
        entry.dev_minor = entries_[i].minor;
        entry.mtime.seconds = static_cast<int64_t>(i) + 100;
        entry.body_size = entries_[i].body;
        entry.index = i;
        auto step = planner.add(entry);
        if (!step.ok()) return std::move(step).error();
      }
      Settler settler(tree.get(), &planner, below, policy, lower != nullptr);
      auto plan = settler.run();
      if (!plan.ok()) return std::move(plan).error();
      if (plan.value().replan) {
        lower = settler.lower();
        replanned = true;
        continue;
      }
      notes = std::move(plan.value().notes);
      copy_ups = plan.value().copy_ups.size();
      return std::shared_ptr<const TreeView>(
          std::make_shared<TreeView>(tree, std::string(), std::move(below)));
    }
  }

  Limits limits;
  bool replanned = false;
  size_t copy_ups = 0;
  std::vector<Note> notes;

 private:
  struct Said {
    EntryType type;
    std::string path, target;
    uint32_t mode, major = 0, minor = 0;
    uint64_t body = 0;
  };
  Layer& add(EntryType type, std::string path, std::string target, uint32_t mode) {
    entries_.push_back({type, std::move(path), std::move(target), mode});
    return *this;
  }
  std::vector<Said> entries_;
};

// "d usr\nf usr/a\nw usr/b\n": d directory (D opaque, i implicit, I both), f file, l symlink, w
// whiteout, c b p devices and fifo; "f b = a" where b is a hardlink of a, the first by name.
std::string show(const LayerTree& tree);

}  // namespace ociunpack::test
