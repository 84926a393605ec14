// Audit: the work of audit_tree(). Directories in audit_tree.cc, files in audit_files.cc, what is
// reported in audit_report.cc. Its functions run on several threads at a time; what they share is
// behind a mutex, atomic, or the queue.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "apply/root_dir.h"
#include "audit/audit_tree.h"
#include "audit/compare.h"
#include "audit/disk_entry.h"
#include "audit/expected_tree.h"
#include "audit/hardlinks.h"
#include "audit/read_content.h"
#include "base/unique_fd.h"
#include "base/work_queue.h"

namespace ociunpack::audit {

inline std::string join(const std::string& directory, std::string_view name) {
  return directory.empty() ? std::string(name) : directory + "/" + std::string(name);
}

// Gone, or something else by now.
inline bool has_changed(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

// Whether its mode, which is the layer's, closes it to its owner, who we are. Where we are refused
// (not root, and no user namespace to open it in), that is no damage.
inline bool is_closed_to_owner(const EntryFacts& found, const Inode& expected, mode_t needed) {
  return (found.mode & needed) != needed && found.mode == expected.mode && found.uid == ::geteuid();
}

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

  Result<AuditResult> run();

 private:
  bool cancelled() const { return control_->cancelled.load(std::memory_order_relaxed); }

  // Directories.
  void add_directory(std::string path, ExpectedNode expected);
  void add_extra(std::string path);
  Result<OpenDirectoryRef> open(const std::string& path) const;
  void compare_directory(const std::string& path, const ExpectedNode& expected);
  // False: it is not closed by its layer.
  bool compare_closed(const std::string& path, const ExpectedNode& expected);
  uint64_t files_below(const ExpectedNode& directory) const;
  bool has_opaque_mark(const EntryFacts& facts) const;

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
  int for_each_name(const OpenDirectory& directory,
                    const std::function<void(const std::string&)>& visit) const;
  void visit(Listing* listing, const std::string& name);
  void compare_entry(Listing* listing, const std::string& name, const ExpectedNode& expected,
                     DiskEntry entry);

  // A directory that nothing expects: everything in it is extra.
  void list_extra(const std::string& path);
  void note_links(const ExpectedNode& expected, const DiskEntry& entry);

  // At the end, on one thread.
  void compare_hardlinks();
  EntryFacts read_again(const std::string& path) const;

  // Files (audit_files.cc).
  void add_file(Listing* listing, const std::string& name, const ExpectedNode& expected,
                DiskEntry entry);
  void flush(Batch* batch);

  // Opens what was found, if it is still that file; -1 and errno where it cannot be.
  UniqueFd open_file(const File& file) const;
  void compare_file(const FileRef& file);

  // Between two looks at it the file has become something else: once more, without its content.
  void compare_changed(const FileRef& file);

  // True: the caller reads the file, and then calls finish_content(). False: somebody else has, or
  // will, and takes care of this one too.
  bool claim(const FileRef& file);
  void read_file(const FileRef& file, UniqueFd fd);
  void finish_ranged(const RangedFile& ranged);
  void finish_content(const FileRef& file, const ReadContent& content);
  void finish_with(File& file, const ReadContent& content);
  void finish_file(File& file);

  // Differences (audit_report.cc).
  bool full();
  bool is_full() const;
  void report(std::string path, const ExpectedNode* expected, std::optional<EntryFacts> found,
              std::vector<std::string> fields);
  void report_unreadable(const std::string& path, const ExpectedNode& expected, DiskEntry entry,
                         int error);
  void report_other_type(const OpenDirectoryRef& directory, const std::string& name,
                         const ExpectedNode& expected, DiskEntry entry);
  void read_rest(const OpenDirectory& directory, const std::string& name, DiskEntry* entry) const;

  // Of a directory everything below as well.
  void report_missing(const ExpectedNode& node);

  // What is expected in a directory and was not found in it.
  void report_unseen(Listing* listing);
  void report_extra(const OpenDirectoryRef& directory, const std::string& name,
                    const std::string& path, DiskEntry entry);

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

}  // namespace ociunpack::audit
