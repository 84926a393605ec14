#include "tree/list_merged.h"

#include <algorithm>
#include <utility>

namespace ociunpack {

MergedList list_merged(const TreeView* view, std::string_view path, size_t most) {
  MergedList list;
  const std::vector<std::string_view> components = split_path(path);
  MergedWalk walk = walk_merged(view, components, false, false);
  if (!walk.found) return list;
  std::string start;
  for (const std::string_view name : walk.path) start.append(start.empty() ? "" : "/").append(name);
  // The last is the next in order.
  std::vector<std::pair<std::string, MergedNode>> pending;
  pending.emplace_back(std::move(start), *std::move(walk.found));
  while (!pending.empty()) {
    auto [at, node] = std::move(pending.back());
    pending.pop_back();
    ++list.total;
    if (list.paths.size() < most) list.paths.push_back(at);
    if (!node.is_directory()) continue;
    std::vector<std::string_view> names;
    for_each_merged_name(node, [&](std::string_view name) { names.push_back(name); });
    std::sort(names.begin(), names.end(), std::greater<>());
    for (const std::string_view name : names) {
      std::string below = at.empty() ? std::string(name) : at + "/" + std::string(name);
      pending.emplace_back(std::move(below), *merged_child(node, name));
    }
  }
  return list;
}

}  // namespace ociunpack
