#include "layers.h"

#include <algorithm>
#include <map>

namespace ociunpack::test {
namespace {

char letter(const LayerTree& tree, NodeId id) {
  switch (tree.type_of(id)) {
    case NodeType::kDirectory:
      if (tree.node(id).implicit) return tree.node(id).opaque ? 'I' : 'i';
      return tree.node(id).opaque ? 'D' : 'd';
    case NodeType::kFile:
      return 'f';
    case NodeType::kSymlink:
      return 'l';
    case NodeType::kCharDevice:
      return 'c';
    case NodeType::kBlockDevice:
      return 'b';
    case NodeType::kFifo:
      return 'p';
    case NodeType::kWhiteout:
      return 'w';
    case NodeType::kPendingLink:
      break;
  }
  return '?';
}

}  // namespace

std::string show(const LayerTree& tree) {
  std::vector<std::pair<std::string, NodeId>> paths;
  for (NodeId id = 1; id < tree.node_count(); ++id) {
    if (tree.present(id)) paths.emplace_back(tree.path(id), id);
  }
  std::sort(paths.begin(), paths.end());
  std::map<InodeId, std::string> first;
  std::string shown;
  for (const auto& [path, id] : paths) {
    shown.append(1, letter(tree, id)).append(" ").append(path);
    const auto [seen, is_first] = first.emplace(tree.node(id).inode, path);
    if (!is_first) shown.append(" = ").append(seen->second);
    shown.append("\n");
  }
  return shown;
}

}  // namespace ociunpack::test
