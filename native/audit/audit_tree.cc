#include "audit/audit_tree.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <unordered_set>

#include "audit/audit.h"
#include "base/dir_stream.h"
#include "tree/aufs_names.h"

namespace ociunpack::audit {
namespace {

constexpr size_t kLongestExtraPath = 64 << 10;  // that a hostile directory may lead us to

}  // namespace

Result<AuditResult> Audit::run() {
  OCIUNPACK_ASSIGN(const UniqueFd top, root_.open_directory(""));
  DiskEntry entry;
  if (const int error = read_status(top.get(), "", &entry)) {
    return system_error(error, "statx", options_.directory);
  }
  device_ = entry.device;
  control_->entries.fetch_add(1, std::memory_order_relaxed);
  OCIUNPACK_TRY(queue_.run(options_.threads, [this] { compare_directory({}, tree_.root()); }));
  if (cancelled()) return input_error(Code::ERR_ABORTED, "audit", "", "it was cancelled");
  compare_hardlinks();
  std::sort(result_.differences.begin(), result_.differences.end(),
            [](const Difference& a, const Difference& b) { return a.path < b.path; });
  result_.entries = control_->entries.load();
  result_.bytes = control_->bytes.load();
  result_.files = files_.load();
  result_.unchecked = unchecked_.load();
  return std::move(result_);
}

void Audit::add_directory(std::string path, ExpectedNode expected) {
  queue_.add([this, path = std::move(path), expected = std::move(expected)] {
    if (!cancelled()) compare_directory(path, expected);
  });
}

void Audit::add_extra(std::string path) {
  if (path.size() > kLongestExtraPath || full()) return;
  queue_.add([this, path = std::move(path)] {
    if (!cancelled()) list_extra(path);
  });
}

Result<OpenDirectoryRef> Audit::open(const std::string& path) const {
  OCIUNPACK_ASSIGN(UniqueFd fd, root_.open_directory(path));
  // Not granted for what is another user's: then its access time is set.
  ::fcntl(fd.get(), F_SETFL, O_NOATIME);
  return OpenDirectoryRef(new OpenDirectory{std::move(fd), path});
}

void Audit::compare_directory(const std::string& path, const ExpectedNode& expected) {
  auto opened = open(path);
  if (!opened.ok()) {
    const int error = opened.error().error_number;
    if (has_changed(error)) return report_missing(expected);
    if (error == EACCES && compare_closed(path, expected)) return;
    DiskEntry unknown;
    unknown.facts.type = FactType::kDirectory;
    return report_unreadable(path, expected, std::move(unknown), error);
  }
  const OpenDirectoryRef& directory = opened.value();
  DiskEntry own;
  int error = read_status(directory->fd.get(), "", &own);
  if (error == 0) error = read_xattrs(directory->fd.get(), "", comparer_.overlay(), &own.facts);
  Listing listing(directory, &expected);
  if (error == 0) {
    error = for_each_name(*directory, [&](const std::string& name) { visit(&listing, name); });
  }
  if (error != 0) return report_unreadable(path, expected, std::move(own), error);
  flush(&listing.batch);
  report_unseen(&listing);
  own.facts.opaque = own.facts.opaque || listing.aufs_opaque || has_opaque_mark(own.facts);
  auto fields = comparer_.compare(expected, own, listing.xattr_whiteouts);
  if (!fields.empty()) report(path, &expected, std::move(own.facts), std::move(fields));
}

bool Audit::compare_closed(const std::string& path, const ExpectedNode& expected) {
  const auto own = root_.resolve(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  DiskEntry entry;
  // Its xattrs are closed to us, too.
  if (!own.ok() || read_status(own.value().get(), "", &entry) != 0 ||
      !expected.inode().xattrs.empty() || tree_.opaque(expected) ||
      !is_closed_to_owner(entry.facts, expected.inode(), S_IRUSR | S_IXUSR)) {
    return false;
  }
  unchecked_.fetch_add(files_below(expected), std::memory_order_relaxed);
  auto fields = comparer_.compare(expected, entry);
  if (!fields.empty()) report(path, &expected, std::move(entry.facts), std::move(fields));
  return true;
}

uint64_t Audit::files_below(const ExpectedNode& directory) const {
  uint64_t files = 0;
  std::vector<ExpectedNode> left{directory};
  while (!left.empty()) {
    const ExpectedNode at = std::move(left.back());
    left.pop_back();
    for (ExpectedNode& child : tree_.children(at)) {
      files += child.type() == NodeType::kFile ? 1 : 0;
      if (child.type() == NodeType::kDirectory) left.push_back(std::move(child));
    }
  }
  return files;
}

bool Audit::has_opaque_mark(const EntryFacts& facts) const {
  if (comparer_.overlay().prefix.empty()) return false;
  const std::string name = comparer_.overlay().prefix + "opaque";
  return std::any_of(facts.xattrs.begin(), facts.xattrs.end(),
                     [&](const auto& xattr) { return xattr.first == name && xattr.second == "y"; });
}

int Audit::for_each_name(const OpenDirectory& directory,
                         const std::function<void(const std::string&)>& visit) const {
  UniqueFd copy(::openat(directory.fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy.valid()) return errno;
  ::fcntl(copy.get(), F_SETFL, O_NOATIME);
  auto stream = DirStream::open(std::move(copy), directory.path);
  if (!stream.ok()) return stream.error().error_number;
  while (!cancelled()) {
    const auto entry = stream.value().next(directory.path);
    if (!entry.ok()) return entry.error().error_number;
    if (entry.value() == nullptr) break;
    visit(entry.value()->d_name);
  }
  return 0;
}

void Audit::visit(Listing* listing, const std::string& name) {
  const int fd = listing->directory->fd.get();
  DiskEntry entry;
  const int error = read_status(fd, name.c_str(), &entry);
  if (has_changed(error)) return;
  control_->entries.fetch_add(1, std::memory_order_relaxed);
  std::string shown = name;
  if (options_.format == Format::kAufs && name.starts_with(kWhiteoutPrefix)) {
    if (name == kOpaqueName) {
      listing->aufs_opaque = true;
      return;
    }
    if (entry.facts.type == FactType::kFile && !name.starts_with(kAufsPrefix)) {
      shown = name.substr(kWhiteoutPrefix.size());
      entry.facts = EntryFacts(FactType::kWhiteout);
    }
  }
  if (entry.facts.type == FactType::kFile) files_.fetch_add(1, std::memory_order_relaxed);
  const auto expected = tree_.child(*listing->expected, shown);
  if (expected) listing->seen.push_back(expected->name());
  const std::string path = join(listing->directory->path, shown);
  if (error != 0) {
    if (!expected) return report(path, nullptr, EntryFacts(FactType::kFile, error), {"unreadable"});
    return report_unreadable(path, *expected, std::move(entry), error);
  }
  if (!expected) return report_extra(listing->directory, name, path, std::move(entry));
  if (entry.mount_point || entry.device != device_) {
    return report_unreadable(path, *expected, std::move(entry), EXDEV);
  }
  compare_entry(listing, name, *expected, std::move(entry));
}

void Audit::compare_entry(Listing* listing, const std::string& name, const ExpectedNode& expected,
                          DiskEntry entry) {
  const FactType wanted = comparer_.type(expected);
  const int fd = listing->directory->fd.get();
  const std::string path = expected.path();
  // An empty file may be a whiteout; only its xattrs tell.
  if (entry.facts.type == FactType::kFile && entry.facts.size == 0 &&
      wanted == FactType::kWhiteout) {
    read_xattrs(fd, name.c_str(), comparer_.overlay(), &entry.facts);
    listing->xattr_whiteouts |= entry.facts.type == FactType::kWhiteout;
  }
  if (entry.facts.type != wanted) {
    return report_other_type(listing->directory, name, expected, std::move(entry));
  }
  switch (wanted) {
    case FactType::kWhiteout:
      return;
    case FactType::kDirectory:
      return add_directory(path, expected);
    case FactType::kFile:
      return add_file(listing, name, expected, std::move(entry));
    default:
      break;
  }
  int error = read_xattrs(fd, name.c_str(), comparer_.overlay(), &entry.facts);
  if (error == 0 && wanted == FactType::kSymlink) {
    error = read_target(fd, name.c_str(), &entry.facts);
  }
  if (error != 0) return report_unreadable(path, expected, std::move(entry), error);
  note_links(expected, entry);
  auto fields = comparer_.compare(expected, entry);
  if (!fields.empty()) report(path, &expected, std::move(entry.facts), std::move(fields));
}

void Audit::note_links(const ExpectedNode& expected, const DiskEntry& entry) {
  if (entry.links > 1 || tree_.has_links(expected)) hardlinks_.add(expected, entry.inode);
}

void Audit::list_extra(const std::string& path) {
  const auto opened = open(path);
  if (!opened.ok()) return;
  const OpenDirectoryRef& directory = opened.value();
  for_each_name(*directory, [&](const std::string& name) {
    DiskEntry entry;
    if (read_status(directory->fd.get(), name.c_str(), &entry) != 0) return;
    control_->entries.fetch_add(1, std::memory_order_relaxed);
    if (entry.facts.type == FactType::kFile) files_.fetch_add(1, std::memory_order_relaxed);
    report_extra(directory, name, join(path, name), std::move(entry));
  });
}

void Audit::compare_hardlinks() {
  std::unordered_map<std::string, size_t> by_path;
  std::unordered_set<std::string> differing;
  for (size_t i = 0; i < result_.differences.size(); ++i) {
    by_path.emplace(result_.differences[i].path, i);
    differing.insert(result_.differences[i].path);
  }
  for (Hardlinks::Broken& broken : hardlinks_.find_broken(differing)) {
    std::string path = broken.node.path();
    const auto known = by_path.find(path);
    Difference* difference = nullptr;
    if (known != by_path.end()) {
      difference = &result_.differences[known->second];
      difference->fields.push_back("hardlink");
    } else {
      const size_t before = result_.differences.size();
      report(path, &broken.node, read_again(path), {"hardlink"});
      if (result_.differences.size() > before) difference = &result_.differences.back();
    }
    if (difference == nullptr) continue;
    if (difference->expected) difference->expected->links = std::move(broken.expected);
    if (difference->found) difference->found->links = std::move(broken.found);
  }
}

EntryFacts Audit::read_again(const std::string& path) const {
  DiskEntry entry;
  const size_t slash = path.rfind('/');
  const auto directory = open(slash == std::string::npos ? "" : path.substr(0, slash));
  if (!directory.ok()) return EntryFacts(FactType::kFile, directory.error().error_number);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (const int error = read_status(directory.value()->fd.get(), name.c_str(), &entry)) {
    return EntryFacts(FactType::kFile, error);
  }
  read_rest(*directory.value(), name, &entry);
  return std::move(entry.facts);
}

}  // namespace ociunpack::audit

namespace ociunpack {

Result<AuditResult> audit_tree(const AuditOptions& options, AuditControl* control) {
  OCIUNPACK_ASSIGN(RootDir root, RootDir::open(options.directory));
  return audit::Audit(options, control, std::move(root)).run();
}

}  // namespace ociunpack
