#include "audit/audit_tree.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "apply/root_dir.h"
#include "audit/compare.h"
#include "audit/disk_entry.h"
#include "audit/expected_tree.h"
#include "audit/hardlinks.h"
#include "audit/read_content.h"
#include "audit/work_queue.h"
#include "base/dir_stream.h"
#include "base/unique_fd.h"
#include "digest/crc32c.h"

namespace ociunpack {
namespace {

constexpr std::string_view kAufsPrefix = ".wh.";
constexpr std::string_view kAufsOpaque = ".wh..wh..opq";

// Files that one task reads, unless they are big.
constexpr size_t kBatchFiles = 64;
constexpr uint64_t kBatchBytes = 4 << 20;
// A bigger file is read in such ranges, by whoever is free.
constexpr uint64_t kRangeBytes = 32 << 20;

// What a hostile directory may make us keep.
constexpr size_t kMostReportBytes = 64 << 20;
constexpr size_t kLongestExtraPath = 64 << 10;

std::string join(const std::string& directory, std::string_view name) {
  return directory.empty() ? std::string(name) : directory + "/" + std::string(name);
}

// Gone, or something else by now.
bool has_changed(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

struct OpenDirectory {
  UniqueFd fd;
  std::string path;
};
using OpenDirectoryRef = std::shared_ptr<const OpenDirectory>;

// A file on its way through the comparison.
struct File {
  OpenDirectoryRef directory;
  std::string name;
  ExpectedNode expected;
  DiskEntry entry;
  std::vector<std::string> fields;
  std::string path() const { return join(directory->path, name); }
};
using FileRef = std::shared_ptr<File>;

// A big file, read in parts by several tasks; the last one to end puts them together.
struct RangedFile {
  FileRef file;
  UniqueFd fd;
  std::vector<ReadContent> ranges;
  std::atomic<size_t> left{0};
};

// An inode that has, or is to have, several names: read once, for all of them.
struct SharedContent {
  bool done = false;
  ReadContent content;
  std::vector<FileRef> waiting;
};

struct Batch {
  std::vector<FileRef> files;
  uint64_t bytes = 0;
};

class Audit {
 public:
  Audit(const AuditOptions& options, AuditControl* control, RootDir root)
      : options_(options),
        control_(control),
        root_(std::move(root)),
        tree_(options.tree, options.format == Format::kFlat),
        comparer_(tree_, options.format, options.policies),
        hardlinks_(options.format == Format::kFlat) {}

  Result<AuditResult> run() {
    OCIUNPACK_ASSIGN(const UniqueFd top, root_.open_directory(""));
    DiskEntry entry;
    if (const int error = read_status(top.get(), "", &entry)) {
      return system_error(error, "statx", options_.directory);
    }
    device_ = entry.device;
    control_->entries.fetch_add(1, std::memory_order_relaxed);
    add_directory({}, tree_.root());
    queue_.run(std::clamp(options_.threads, 1U, 64U));
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

 private:
  bool cancelled() const { return control_->cancelled.load(std::memory_order_relaxed); }

  // Directories.

  void add_directory(std::string path, ExpectedNode expected) {
    queue_.add([this, path = std::move(path), expected = std::move(expected)] {
      if (!cancelled()) compare_directory(path, expected);
    });
  }

  void add_extra(std::string path) {
    if (path.size() > kLongestExtraPath || full()) return;
    queue_.add([this, path = std::move(path)] {
      if (!cancelled()) list_extra(path);
    });
  }

  Result<OpenDirectoryRef> open(const std::string& path) const {
    OCIUNPACK_ASSIGN(UniqueFd fd, root_.open_directory(path));
    // Not granted for what is another user's: then its access time is set.
    ::fcntl(fd.get(), F_SETFL, O_NOATIME);
    return OpenDirectoryRef(new OpenDirectory{std::move(fd), path});
  }

  void compare_directory(const std::string& path, const ExpectedNode& expected) {
    auto opened = open(path);
    if (!opened.ok()) {
      const int error = opened.error().error_number;
      if (has_changed(error)) return report_missing(expected);
      DiskEntry unknown;
      unknown.facts.type = FactType::kDirectory;
      return report_unreadable(path, expected, std::move(unknown), error);
    }
    const OpenDirectoryRef& directory = opened.value();
    DiskEntry own;
    int error = read_status(directory->fd.get(), "", &own);
    if (error == 0) error = read_xattrs(directory->fd.get(), "", comparer_.overlay(), &own.facts);
    Listing listing(directory, &expected);
    if (error == 0) error = list(&listing);
    if (error != 0) return report_unreadable(path, expected, std::move(own), error);
    flush(&listing.batch);
    report_unseen(&listing);
    own.facts.opaque = own.facts.opaque || listing.aufs_opaque || has_opaque_mark(own.facts);
    auto fields = comparer_.compare(expected, own, listing.xattr_whiteouts);
    if (!fields.empty()) report(path, &expected, std::move(own.facts), std::move(fields));
  }

  bool has_opaque_mark(const EntryFacts& facts) const {
    if (comparer_.overlay().prefix.empty()) return false;
    const std::string name = comparer_.overlay().prefix + "opaque";
    return std::any_of(facts.xattrs.begin(), facts.xattrs.end(), [&](const auto& xattr) {
      return xattr.first == name && xattr.second == "y";
    });
  }

  struct Listing {
    Listing(OpenDirectoryRef opened, const ExpectedNode* node)
        : directory(std::move(opened)), expected(node) {}
    OpenDirectoryRef directory;
    const ExpectedNode* expected;
    std::vector<std::string_view> seen;  // names in the tree
    bool aufs_opaque = false;
    bool xattr_whiteouts = false;
    Batch batch;
  };

  // 0, or the errno of what kept the directory from being listed.
  int list(Listing* listing) {
    const std::string& path = listing->directory->path;
    UniqueFd copy(::openat(listing->directory->fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!copy.valid()) return errno;
    ::fcntl(copy.get(), F_SETFL, O_NOATIME);
    auto stream = DirStream::open(std::move(copy), path);
    if (!stream.ok()) return stream.error().error_number;
    while (!cancelled()) {
      const auto entry = stream.value().next(path);
      if (!entry.ok()) return entry.error().error_number;
      if (entry.value() == nullptr) break;
      visit(listing, entry.value()->d_name);
    }
    return 0;
  }

  void visit(Listing* listing, const std::string& name) {
    const int fd = listing->directory->fd.get();
    DiskEntry entry;
    const int error = read_status(fd, name.c_str(), &entry);
    if (has_changed(error)) return;
    control_->entries.fetch_add(1, std::memory_order_relaxed);
    std::string shown = name;
    if (options_.format == Format::kAufs && name.starts_with(kAufsPrefix)) {
      if (name == kAufsOpaque) {
        listing->aufs_opaque = true;
        return;
      }
      if (entry.facts.type == FactType::kFile && !name.starts_with(".wh..wh.")) {
        shown = name.substr(kAufsPrefix.size());
        entry.facts = EntryFacts(FactType::kWhiteout);
      }
    }
    if (entry.facts.type == FactType::kFile) files_.fetch_add(1, std::memory_order_relaxed);
    const auto expected = tree_.child(*listing->expected, shown);
    if (expected) listing->seen.push_back(expected->name());
    const std::string path = join(listing->directory->path, shown);
    if (error != 0) {
      if (!expected)
        return report(path, nullptr, EntryFacts(FactType::kFile, error), {"unreadable"});
      return report_unreadable(path, *expected, std::move(entry), error);
    }
    if (!expected) return report_extra(listing->directory, name, path, std::move(entry));
    if (entry.mount_point || entry.device != device_) {
      return report_unreadable(path, *expected, std::move(entry), EXDEV);
    }
    compare_entry(listing, name, *expected, std::move(entry));
  }

  void compare_entry(Listing* listing, const std::string& name, const ExpectedNode& expected,
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

  void note_links(const ExpectedNode& expected, const DiskEntry& entry) {
    if (entry.links > 1 || tree_.has_links(expected)) hardlinks_.add(expected, entry.inode);
  }

  // Files.

  void add_file(Listing* listing, const std::string& name, const ExpectedNode& expected,
                DiskEntry entry) {
    Batch& batch = listing->batch;
    batch.bytes += entry.facts.size;
    batch.files.push_back(
        std::make_shared<File>(File{listing->directory, name, expected, std::move(entry), {}}));
    if (batch.files.size() >= kBatchFiles || batch.bytes >= kBatchBytes) flush(&batch);
  }

  void flush(Batch* batch) {
    if (batch->files.empty()) return;
    const WorkQueue::Work work = [this, files = std::move(batch->files)] {
      for (const FileRef& file : files) {
        if (cancelled()) return;
        compare_file(file);
      }
    };
    *batch = {};
    if (!queue_.try_add_final(work)) work();
  }

  // Opens what was found, if it is still that file; -1 and errno where it cannot be.
  UniqueFd open_file(const File& file) const {
    // O_NONBLOCK: should it be a fifo by now. O_NOATIME is not granted for another user's file.
    constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    const int directory = file.directory->fd.get();
    UniqueFd fd(::openat(directory, file.name.c_str(), kFlags | O_NOATIME));
    if (!fd.valid() && errno == EPERM) {
      fd = UniqueFd(::openat(directory, file.name.c_str(), kFlags));
    }
    return fd;
  }

  void compare_file(const FileRef& file) {
    DiskEntry& entry = file->entry;
    const Inode& inode = file->expected.inode();
    const bool to_read = options_.content && inode.checksum != nullptr && entry.facts.size > 0 &&
                         entry.facts.size == inode.size;
    UniqueFd fd;
    if (to_read) {
      fd = open_file(*file);
      if (!fd.valid()) {
        const int error = errno;
        if (has_changed(error)) return compare_changed(file);
        return report_unreadable(file->path(), file->expected, std::move(entry), error);
      }
      if (const int error = read_status(fd.get(), "", &entry)) {
        return report_unreadable(file->path(), file->expected, std::move(entry), error);
      }
      if (entry.facts.type != FactType::kFile) return compare_changed(file);
    }
    const int error = fd.valid() ? read_xattrs(fd.get(), "", comparer_.overlay(), &entry.facts)
                                 : read_xattrs(file->directory->fd.get(), file->name.c_str(),
                                               comparer_.overlay(), &entry.facts);
    if (has_changed(error)) return compare_changed(file);
    if (error != 0) {
      return report_unreadable(file->path(), file->expected, std::move(entry), error);
    }
    if (entry.facts.type != FactType::kFile) {  // a whiteout by its xattr
      return report_other_type(file->directory, file->name, file->expected, std::move(entry));
    }
    note_links(file->expected, entry);
    file->fields = comparer_.compare(file->expected, entry);
    if (entry.facts.size != inode.size || inode.size == 0 || !options_.content) {
      return finish_file(*file);
    }
    if (inode.checksum == nullptr) {
      unchecked_.fetch_add(1, std::memory_order_relaxed);
      return finish_file(*file);
    }
    if (!fd.valid()) return compare_changed(file);  // its size has changed to the right one
    if (entry.links > 1 && !claim(file)) return;
    read_file(file, std::move(fd));
  }

  // Between two looks at it the file has become something else: once more, without its content.
  void compare_changed(const FileRef& file) {
    DiskEntry now;
    const int fd = file->directory->fd.get();
    int error = read_status(fd, file->name.c_str(), &now);
    if (has_changed(error)) return report_missing(file->expected);
    if (error == 0) error = read_xattrs(fd, file->name.c_str(), comparer_.overlay(), &now.facts);
    if (error != 0) return report_unreadable(file->path(), file->expected, std::move(now), error);
    file->entry = std::move(now);
    if (file->entry.facts.type != FactType::kFile) {
      return report_other_type(file->directory, file->name, file->expected, std::move(file->entry));
    }
    file->fields = comparer_.compare(file->expected, file->entry);
    if (file->fields.empty()) unchecked_.fetch_add(1, std::memory_order_relaxed);
    finish_file(*file);
  }

  // True: the caller reads the file, and then calls finish_content(). False: somebody else has, or
  // will, and takes care of this one too.
  bool claim(const FileRef& file) {
    ReadContent content;
    {
      const std::lock_guard lock(shared_mutex_);
      const auto [found, added] = shared_.try_emplace(file->entry.inode);
      if (added) return true;
      if (!found->second.done) {
        found->second.waiting.push_back(file);
        return false;
      }
      content = found->second.content;
    }
    finish_with(*file, content);
    return false;
  }

  void read_file(const FileRef& file, UniqueFd fd) {
    const uint64_t size = file->entry.facts.size;
    const bool sparse = file->entry.blocks * 512 < size;
    if (size < 2 * kRangeBytes) {
      finish_content(
          file, read_content(fd.get(), 0, size, sparse, control_->cancelled, &control_->bytes));
      return;
    }
    auto ranged = std::make_shared<RangedFile>();
    ranged->file = file;
    ranged->fd = std::move(fd);
    ranged->ranges.resize((size + kRangeBytes - 1) / kRangeBytes);
    ranged->left = ranged->ranges.size();
    for (size_t i = 0; i < ranged->ranges.size(); ++i) {
      queue_.add_final([this, ranged, i, sparse, size] {
        const uint64_t from = i * kRangeBytes;
        ranged->ranges[i] = read_content(ranged->fd.get(), from, std::min(size, from + kRangeBytes),
                                         sparse, control_->cancelled, &control_->bytes);
        if (ranged->left.fetch_sub(1) == 1) finish_ranged(*ranged);
      });
    }
  }

  void finish_ranged(const RangedFile& ranged) {
    ReadContent whole;
    for (const ReadContent& range : ranged.ranges) {
      if (range.error != 0) whole.error = range.error;
      whole.crc32c = crc32c_combine(whole.crc32c, range.crc32c, range.bytes);
      whole.bytes += range.bytes;
    }
    finish_content(ranged.file, whole);
  }

  void finish_content(const FileRef& file, const ReadContent& content) {
    if (file->entry.links > 1) {
      std::vector<FileRef> waiting;
      {
        const std::lock_guard lock(shared_mutex_);
        SharedContent& shared = shared_[file->entry.inode];
        shared.done = true;
        shared.content = content;
        waiting.swap(shared.waiting);
      }
      for (const FileRef& other : waiting) finish_with(*other, content);
    }
    finish_with(*file, content);
  }

  void finish_with(File& file, const ReadContent& content) {
    if (content.error == ECANCELED) return;
    EntryFacts& found = file.entry.facts;
    if (content.error != 0) {
      found.error = content.error;
      file.fields.push_back("unreadable");
    } else {
      found.crc32c = content.crc32c;
      if (content.bytes != found.size) {  // it was cut meanwhile
        found.size = content.bytes;
        file.fields.push_back("size");
      } else if (content.crc32c != *file.expected.inode().checksum) {
        file.fields.push_back("content");
      }
    }
    finish_file(file);
  }

  void finish_file(File& file) {
    if (file.fields.empty()) return;
    report(file.path(), &file.expected, std::move(file.entry.facts), std::move(file.fields));
  }

  // Differences.

  bool full() {
    const std::lock_guard lock(result_mutex_);
    return is_full();
  }
  bool is_full() const {
    return result_.differences.size() >= options_.most_differences ||
           report_bytes_ >= kMostReportBytes;
  }

  void report(std::string path, const ExpectedNode* expected, std::optional<EntryFacts> found,
              std::vector<std::string> fields) {
    const std::lock_guard lock(result_mutex_);
    if (is_full()) {
      ++result_.more_differences;
      return;
    }
    Difference difference{std::move(path), std::nullopt, std::move(found), std::move(fields)};
    if (expected != nullptr) difference.expected = comparer_.expected(*expected);
    report_bytes_ += difference.path.size() + sizeof(Difference);
    for (const auto* facts : {&difference.expected, &difference.found}) {
      if (!*facts) continue;
      report_bytes_ += (*facts)->target.size();
      for (const auto& [name, value] : (*facts)->xattrs)
        report_bytes_ += name.size() + value.size();
    }
    result_.differences.push_back(std::move(difference));
  }

  void report_unreadable(const std::string& path, const ExpectedNode& expected, DiskEntry entry,
                         int error) {
    entry.facts.error = error;
    report(path, &expected, std::move(entry.facts), {"unreadable"});
  }

  void report_other_type(const OpenDirectoryRef& directory, const std::string& name,
                         const ExpectedNode& expected, DiskEntry entry) {
    const bool is_directory = entry.facts.type == FactType::kDirectory;
    const std::string path = expected.path();
    read_rest(*directory, name, &entry);
    report(path, &expected, std::move(entry.facts), {"type"});
    if (expected.type() == NodeType::kDirectory) {
      for (const ExpectedNode& child : tree_.children(expected)) report_missing(child);
    }
    if (is_directory) add_extra(path);
  }

  void read_rest(const OpenDirectory& directory, const std::string& name, DiskEntry* entry) const {
    EntryFacts& facts = entry->facts;
    if (facts.type == FactType::kWhiteout) return;
    int error = 0;
    if (facts.xattrs.empty()) {
      error = read_xattrs(directory.fd.get(), name.c_str(), comparer_.overlay(), &facts);
    }
    if (error == 0 && facts.type == FactType::kSymlink) {
      error = read_target(directory.fd.get(), name.c_str(), &facts);
    }
    facts.error = error;
    facts.opaque = facts.type == FactType::kDirectory && has_opaque_mark(facts);
  }

  // Of a directory everything below as well.
  void report_missing(const ExpectedNode& node) {
    std::vector<ExpectedNode> missing{node};
    while (!missing.empty()) {
      const ExpectedNode at = std::move(missing.back());
      missing.pop_back();
      if (!comparer_.may_be_missing(at)) report(at.path(), &at, std::nullopt, {});
      if (at.type() != NodeType::kDirectory) continue;
      for (ExpectedNode& child : tree_.children(at)) missing.push_back(std::move(child));
    }
  }

  // What is expected in a directory and was not found in it.
  void report_unseen(Listing* listing) {
    if (cancelled()) return;
    std::vector<std::string_view>& seen = listing->seen;
    std::sort(seen.begin(), seen.end());
    for (const ExpectedNode& child : tree_.children(*listing->expected)) {
      if (!std::binary_search(seen.begin(), seen.end(), child.name())) report_missing(child);
    }
  }

  void report_extra(const OpenDirectoryRef& directory, const std::string& name,
                    const std::string& path, DiskEntry entry) {
    const bool enter =
        entry.facts.type == FactType::kDirectory && !entry.mount_point && entry.device == device_;
    if (full()) {
      const std::lock_guard lock(result_mutex_);
      ++result_.more_differences;
      return;
    }
    read_rest(*directory, name, &entry);
    report(path, nullptr, std::move(entry.facts), {});
    if (enter) add_extra(path);
  }

  // A directory that nothing expects: everything in it is extra.
  void list_extra(const std::string& path) {
    const auto opened = open(path);
    if (!opened.ok()) return;
    const OpenDirectoryRef& directory = opened.value();
    UniqueFd copy(::openat(directory->fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!copy.valid()) return;
    auto stream = DirStream::open(std::move(copy), path);
    if (!stream.ok()) return;
    while (!cancelled()) {
      const auto next = stream.value().next(path);
      if (!next.ok() || next.value() == nullptr) return;
      const std::string name = next.value()->d_name;
      DiskEntry entry;
      if (read_status(directory->fd.get(), name.c_str(), &entry) != 0) continue;
      control_->entries.fetch_add(1, std::memory_order_relaxed);
      if (entry.facts.type == FactType::kFile) files_.fetch_add(1, std::memory_order_relaxed);
      report_extra(directory, name, join(path, name), std::move(entry));
    }
  }

  // At the end, on one thread.
  void compare_hardlinks() {
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

  EntryFacts read_again(const std::string& path) const {
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

  const AuditOptions& options_;
  AuditControl* control_;
  const RootDir root_;
  const ExpectedTree tree_;
  const Comparer comparer_;
  Hardlinks hardlinks_;
  WorkQueue queue_;
  uint64_t device_ = 0;
  std::atomic<uint64_t> files_{0};
  std::atomic<uint64_t> unchecked_{0};

  std::mutex shared_mutex_;
  std::unordered_map<uint64_t, SharedContent> shared_;  // by inode

  std::mutex result_mutex_;
  AuditResult result_;
  size_t report_bytes_ = 0;
};

}  // namespace

Result<AuditResult> audit_tree(const AuditOptions& options, AuditControl* control) {
  OCIUNPACK_ASSIGN(RootDir root, RootDir::open(options.directory));
  return Audit(options, control, std::move(root)).run();
}

}  // namespace ociunpack
