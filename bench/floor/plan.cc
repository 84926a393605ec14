#include "floor/plan.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "tar/reader.h"

namespace ociunpack::bench {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

// Without leading and trailing slashes, "." and doubled slashes. ".." stays: no directory opens it.
std::string clean(std::string_view path) {
  std::string result;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (!result.empty()) result += '/';
    result += part;
  }
  return result;
}

class Planner {
 public:
  Planner() { directory(""); }

  size_t directory(const std::string& path) {
    const auto [at, added] = directories_.try_emplace(path, plan_.directories.size());
    if (added) plan_.directories.push_back(path);
    return at->second;
  }

  // Parents without an entry of their own become directories too.
  size_t parent_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return 0;
    const std::string parent = path.substr(0, slash);
    if (!directories_.contains(parent)) {
      Item item;
      item.make = Make::kDirectory;
      item.parent = parent_of(parent);
      item.name = parent.substr(parent.rfind('/') + 1);
      item.mode = 0755;
      item.mtime.seconds = -1;  // left alone
      item.self = directory(parent);
      add(parent, std::move(item));
    }
    return directory(parent);
  }

  void take(const Entry& entry) {
    current_ = nullptr;
    const std::string path = clean(entry.path);
    const std::string name = path.substr(path.rfind('/') + 1);
    if (entry.type == EntryType::kHardlink) {
      plan_.links.push_back({clean(entry.linkpath), parent_of(path), name});
      return;
    }
    Item item;
    item.parent = path.empty() ? 0 : parent_of(path);
    item.name = name;
    item.mode = entry.mode;
    item.uid = entry.uid;
    item.gid = entry.gid;
    item.mtime = entry.mtime;
    for (const auto& [key, value] : entry.xattrs) item.xattrs.emplace_back(key, value);
    switch (entry.type) {
      case EntryType::kDirectory:
        item.make = Make::kDirectory;
        item.self = directory(path);
        break;
      case EntryType::kSymlink:
        item.make = Make::kSymlink;
        item.target = entry.linkpath;
        break;
      case EntryType::kCharDevice:
      case EntryType::kBlockDevice:
        item.make = Make::kDevice;
        item.mode |= entry.type == EntryType::kCharDevice ? S_IFCHR : S_IFBLK;
        item.device = ::makedev(entry.dev_major, entry.dev_minor);
        break;
      case EntryType::kFifo:
        item.make = Make::kFifo;
        break;
      default:
        if (name == kOpaque) {
          item.make = Make::kOpaque;
        } else if (name.starts_with(kWhiteout)) {
          item.make = Make::kWhiteout;
          item.name = name.substr(kWhiteout.size());
        } else {
          plan_.files++;
        }
    }
    const bool has_content = item.make == Make::kFile;
    const size_t at = add(path, std::move(item));
    if (has_content) current_ = &plan_.items[at];
  }

  void content(const TarReader::Event& event) {
    if (current_) current_->content.emplace_back(event.data, event.size);
  }

  // A name that is hidden and made anew: a directory becomes opaque, all else needs no whiteout.
  Plan finish() {
    for (size_t i = 0, count = plan_.items.size(); i < count; i++) {
      if (plan_.items[i].make != Make::kWhiteout) continue;
      const std::string& parent = plan_.directories[plan_.items[i].parent];
      const auto made =
          items_.find(parent.empty() ? plan_.items[i].name : parent + '/' + plan_.items[i].name);
      if (made == items_.end()) continue;
      plan_.items[i].make = Make::kNothing;
      if (plan_.items[made->second].make != Make::kDirectory) continue;
      Item opaque;
      opaque.make = Make::kOpaque;
      opaque.parent = plan_.items[made->second].self;
      plan_.items.push_back(std::move(opaque));
    }
    return std::move(plan_);
  }

 private:
  size_t add(const std::string& path, Item item) {
    const auto [at, added] = items_.try_emplace(path, plan_.items.size());
    if (added) {
      plan_.items.push_back(std::move(item));
    } else {
      plan_.items[at->second] = std::move(item);
    }
    return at->second;
  }

  Plan plan_;
  Item* current_ = nullptr;  // valid until the next item is added
  std::unordered_map<std::string, size_t> directories_;
  std::unordered_map<std::string, size_t> items_;
};

}  // namespace

Result<Plan> plan_layer(std::span<const uint8_t> tar) {
  Limits limits;
  TarReader reader(limits);
  Planner planner;
  for (;;) {
    OCIUNPACK_ASSIGN(const TarReader::Event event, reader.next(&tar));
    if (event.kind == TarReader::Event::kNeedMore) break;
    if (event.kind == TarReader::Event::kEntry) planner.take(*event.entry);
    if (event.kind == TarReader::Event::kData) planner.content(event);
  }
  OCIUNPACK_TRY(reader.finish());
  return planner.finish();
}

}  // namespace ociunpack::bench
