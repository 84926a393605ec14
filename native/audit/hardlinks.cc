#include "audit/hardlinks.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

namespace ociunpack {
namespace {

constexpr size_t kMostLinks = 16;

}  // namespace

void Hardlinks::add(const ExpectedNode& node, uint64_t inode) {
  const std::lock_guard lock(mutex_);
  names_.push_back({node.tree, node.node, inode});
}

std::vector<Hardlinks::Broken> Hardlinks::find_broken(
    const std::unordered_set<std::string>& differing) {
  using Group = std::vector<size_t>;  // numbers of names
  using Expected = std::pair<const LayerTree*, InodeId>;
  const std::lock_guard lock(mutex_);
  std::map<Expected, Group> expected;
  std::unordered_map<uint64_t, Group> found;
  for (size_t i = 0; i < names_.size(); ++i) {
    expected[{names_[i].tree, names_[i].expected()}].push_back(i);
    found[names_[i].inode].push_back(i);
  }
  const auto path = [this](size_t i) { return names_[i].tree->path(names_[i].node); };

  // All of the group but those of its best part; parts are told by a key of each name.
  std::vector<bool> broken(names_.size(), false);
  const auto mark_all_but_best = [&](const Group& group, const auto& key_of) {
    using Key = decltype(key_of(size_t{}));
    std::map<Key, Group> parts;
    for (const size_t i : group) parts[key_of(i)].push_back(i);
    if (parts.size() < 2) return;
    struct Rank {
      size_t names = 0;
      size_t sound = 0;
      std::string first;
    };
    const Key* best = nullptr;
    Rank best_rank;
    for (const auto& [key, part] : parts) {
      Rank rank;
      rank.names = part.size();
      for (const size_t i : part) {
        std::string name = path(i);
        rank.sound += differing.contains(name) ? 0 : 1;
        if (rank.first.empty() || name < rank.first) rank.first = std::move(name);
      }
      const bool better =
          best == nullptr ||
          std::pair(rank.names, rank.sound) > std::pair(best_rank.names, best_rank.sound) ||
          (std::pair(rank.names, rank.sound) == std::pair(best_rank.names, best_rank.sound) &&
           rank.first < best_rank.first);
      if (!better) continue;
      best = &key;
      best_rank = std::move(rank);
    }
    for (const auto& [key, part] : parts) {
      if (&key == best) continue;
      for (const size_t i : part) broken[i] = true;
    }
  };

  // First those that have left their group; then what has joined another one.
  for (const auto& [key, group] : expected) {
    mark_all_but_best(group, [this](size_t i) { return names_[i].inode; });
  }
  for (const auto& [inode, group] : found) {
    Group left;
    bool copied_up = false;
    for (const size_t i : group) {
      copied_up = copied_up || names_[i].copied_up();
      if (!broken[i]) left.push_back(i);
    }
    if (lenient_ && copied_up) continue;
    mark_all_but_best(left,
                      [this](size_t i) { return Expected(names_[i].tree, names_[i].expected()); });
  }

  std::vector<Broken> result;
  const auto others = [&](const Group& group, size_t self) {
    std::vector<std::string> paths;
    for (const size_t i : group) {
      if (paths.size() == kMostLinks) break;
      if (i != self) paths.push_back(path(i));
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  };
  for (size_t i = 0; i < names_.size(); ++i) {
    if (!broken[i]) continue;
    const Name& name = names_[i];
    result.push_back({{name.tree, name.node, {}},
                      others(expected[{name.tree, name.expected()}], i),
                      others(found[name.inode], i)});
  }
  return result;
}

}  // namespace ociunpack
