// Fuzzes planner and settle, in memory: a layer that is planned without its lower layers, and
// settled on them, must show the same as one that is planned with the lower layers known from its
// first entry, which is a sequential apply; refused by one is refused by the other. The tree's
// index must survive being written and read.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

#include "fuzz_layers.h"
#include "tree/index.h"
#include "tree/planner.h"
#include "tree/settle.h"

namespace ociunpack {
namespace {

using View = std::shared_ptr<const TreeView>;

struct Planned {
  std::shared_ptr<LayerTree> tree = std::make_shared<LayerTree>();
  std::unique_ptr<Planner> planner;
  std::unique_ptr<Settler> settler;
  View lower;  // outlives the planner
  std::string error;
  bool replan = false;
};

Planned plan(const fuzz::SaidLayer& layer, const View& below, View lower, SymlinkParents policy) {
  Planned planned;
  planned.lower = std::move(lower);
  PlanOptions options;
  options.symlink_parents = policy;
  options.lower = planned.lower.get();
  options.lower_unknown = below != nullptr && planned.lower == nullptr;
  planned.planner = std::make_unique<Planner>(planned.tree.get(), options);
  for (size_t i = 0; i < layer.size(); i++) {
    Entry entry;
    entry.type = layer[i].type;
    entry.path = layer[i].path;
    entry.linkpath = layer[i].target;
    entry.mode = layer[i].mode;
    entry.body_size = entry.size = layer[i].body;
    entry.dev_major = layer[i].major;
    entry.dev_minor = layer[i].minor;
    entry.mtime.seconds = static_cast<int64_t>(i) + 100;
    entry.index = i;
    if (auto step = planned.planner->add(entry); !step.ok()) {
      planned.error = code_name(step.error().code);
      return planned;
    }
  }
  planned.settler = std::make_unique<Settler>(planned.tree.get(), planned.planner.get(), below,
                                              policy, planned.lower != nullptr);
  auto settled = planned.settler->run();
  if (!settled.ok()) {
    planned.error = code_name(settled.error().code);
  } else {
    planned.replan = settled.value().replan;
  }
  return planned;
}

void show(const MergedNode& node, const std::string& path,
          std::map<std::pair<const TreeView*, InodeId>, size_t>* inodes,
          std::map<std::string, std::string>* lines) {
  const Inode& inode = node.inode();
  const auto key = std::make_pair(node.view, node.view->tree().node(node.node).inode);
  std::string line = std::to_string(static_cast<int>(inode.type)) + " " +
                     std::to_string(inode.mode) + " " + std::to_string(inode.mtime.seconds) + " " +
                     std::string(inode.target);
  if (!node.is_directory()) {
    // Hardlinks within the top layer only: those across layers are none on disk.
    line += " #" + std::to_string(inodes->emplace(key, inodes->size()).first->second);
  }
  lines->emplace(path, std::move(line));
  if (!node.is_directory()) return;
  std::map<std::string, MergedNode> children;
  for_each_merged_name(node, [&](std::string_view name) {
    children.emplace(std::string(name), *merged_child(node, name));
  });
  for (const auto& [name, child] : children) show(child, path + "/" + name, inodes, lines);
}

std::string show(const View& view) {
  std::map<std::pair<const TreeView*, InodeId>, size_t> inodes;
  std::map<std::string, std::string> lines;
  show(*merged_root(view.get()), "", &inodes, &lines);
  std::string text;
  for (const auto& [path, line] : lines) text += path + ": " + line + "\n";
  return text;
}

[[noreturn]] void differ(const char* what, const std::string& one, const std::string& other) {
  std::fprintf(stderr, "%s\n-- without the lower layers:\n%s\n-- with them:\n%s\n", what,
               one.c_str(), other.c_str());
  std::abort();
}

void print(const std::vector<fuzz::SaidLayer>& layers) {
  for (const auto& layer : layers) {
    std::fprintf(stderr, "layer\n");
    for (const auto& said : layer) {
      std::fprintf(stderr, "  %d %o \"%s\" -> \"%s\" %s\n", static_cast<int>(said.type), said.mode,
                   said.path.c_str(), said.target.c_str(), said.body ? "body" : "");
    }
  }
}

}  // namespace
}  // namespace ociunpack

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ociunpack;
  if (size < 1) return 0;
  const SymlinkParents policy = data[0] % 8 == 7   ? SymlinkParents::kError
                                : data[0] % 8 == 6 ? SymlinkParents::kReplace
                                                   : SymlinkParents::kFollow;
  const auto layers = fuzz::layers_of({data + 1, size - 1}, 60);
  View below;
  for (const fuzz::SaidLayer& layer : layers) {
    Planned first = plan(layer, below, nullptr, policy);
    Planned known;
    if (below) {
      if (!first.settler) {
        // Refused at once, for a name: the other way must do so too.
        known = plan(layer, below, below, policy);
        if (known.error.empty()) {
          print(layers);
          differ("refused only without the lower layers", first.error, "");
        }
        return 0;
      }
      known = plan(layer, below, first.settler->lower(), policy);
    }
    Planned& result = first.replan ? known : first;
    if (below && !first.replan && first.error != known.error) {
      print(layers);
      differ("only one is refused", first.error, known.error);
    }
    if (known.replan) std::abort();
    if (!result.error.empty()) return 0;
    auto view = std::make_shared<TreeView>(result.tree, std::string(), below);
    const std::string shown = show(view);
    if (below && !first.replan) {
      const std::string other = show(std::make_shared<TreeView>(known.tree, std::string(), below));
      if (shown != other) {
        print(layers);
        differ("not the same tree", shown, other);
      }
    }
    const auto loaded = decode_index(encode_index(*result.tree), "index");
    if (!loaded.ok() ||
        show(std::make_shared<TreeView>(loaded.value(), std::string(), below)) != shown) {
      print(layers);
      differ("the index does not give the tree back", shown, "");
    }
    below = std::move(view);
  }
  return 0;
}
