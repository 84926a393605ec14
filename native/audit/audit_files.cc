// Files of an audit: opened once, for their xattrs and their content; big ones read in ranges, one
// with several names once for all of them.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "audit/audit.h"
#include "base/open_to_read.h"
#include "digest/crc32c.h"

namespace ociunpack::audit {
namespace {

// Files that one task reads, unless they are big.
constexpr size_t kBatchFiles = 64;
constexpr uint64_t kBatchBytes = 4 << 20;
// A bigger file is read in such ranges, by whoever is free.
constexpr uint64_t kRangeBytes = 32 << 20;

}  // namespace

void Audit::add_file(Listing* listing, const std::string& name, const ExpectedNode& expected,
                     DiskEntry entry) {
  Batch& batch = listing->batch;
  batch.bytes += entry.facts.size;
  batch.files.push_back(
      std::make_shared<File>(File{listing->directory, name, expected, std::move(entry), {}}));
  if (batch.files.size() >= kBatchFiles || batch.bytes >= kBatchBytes) flush(&batch);
}

void Audit::flush(Batch* batch) {
  if (batch->files.empty()) return;
  auto work = [this, files = std::move(batch->files)] {
    for (const FileRef& file : files) {
      if (cancelled()) return;
      compare_file(file);
    }
  };
  *batch = {};
  if (!queue_.has_room()) return work();
  queue_.add_open(std::move(work));
}

UniqueFd Audit::open_file(const File& file) const {
  // O_NONBLOCK: should it be a fifo by now. O_NOATIME is not granted for another user's file.
  constexpr int kFlags = O_RDONLY | O_NONBLOCK;
  const int directory = file.directory->fd.get();
  UniqueFd fd = open_to_read(directory, file.name.c_str(), kFlags | O_NOATIME);
  if (!fd.valid() && errno == EPERM) fd = open_to_read(directory, file.name.c_str(), kFlags);
  return fd;
}

void Audit::compare_file(const FileRef& file) {
  DiskEntry& entry = file->entry;
  const Inode& inode = file->expected.inode();
  const bool to_read = options_.content && inode.checksum != nullptr && entry.facts.size > 0 &&
                       entry.facts.size == inode.size;
  UniqueFd fd;
  bool closed = false;
  if (to_read) {
    fd = open_file(*file);
    if (!fd.valid()) {
      const int error = errno;
      if (has_changed(error)) return compare_changed(file);
      closed = error == EACCES && is_closed_to_owner(entry.facts, inode, S_IRUSR);
      if (!closed) return report_unreadable(file->path(), file->expected, std::move(entry), error);
    } else if (const int error = read_status(fd.get(), "", &entry)) {
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
  if (inode.checksum == nullptr || closed) {
    unchecked_.fetch_add(1, std::memory_order_relaxed);
    return finish_file(*file);
  }
  if (!fd.valid()) return compare_changed(file);  // its size has changed to the right one
  if (entry.links > 1 && !claim(file)) return;
  read_file(file, std::move(fd));
}

void Audit::compare_changed(const FileRef& file) {
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

bool Audit::claim(const FileRef& file) {
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

void Audit::read_file(const FileRef& file, UniqueFd fd) {
  const uint64_t size = file->entry.facts.size;
  const bool sparse = file->entry.blocks * 512 < size;
  if (size < 2 * kRangeBytes) {
    finish_content(file,
                   read_content(fd.get(), 0, size, sparse, control_->cancelled, &control_->bytes));
    return;
  }
  auto ranged = std::make_shared<RangedFile>();
  ranged->file = file;
  ranged->fd = std::move(fd);
  ranged->ranges.resize((size + kRangeBytes - 1) / kRangeBytes);
  ranged->left = ranged->ranges.size();
  for (size_t i = 0; i < ranged->ranges.size(); ++i) {
    queue_.add_open([this, ranged, i, sparse, size] {
      const uint64_t from = i * kRangeBytes;
      ranged->ranges[i] = read_content(ranged->fd.get(), from, std::min(size, from + kRangeBytes),
                                       sparse, control_->cancelled, &control_->bytes);
      if (ranged->left.fetch_sub(1) == 1) finish_ranged(*ranged);
    });
  }
}

void Audit::finish_ranged(const RangedFile& ranged) {
  ReadContent whole;
  for (const ReadContent& range : ranged.ranges) {
    if (range.error != 0) whole.error = range.error;
    whole.crc32c = crc32c_combine(whole.crc32c, range.crc32c, range.bytes);
    whole.bytes += range.bytes;
  }
  finish_content(ranged.file, whole);
}

void Audit::finish_content(const FileRef& file, const ReadContent& content) {
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

void Audit::finish_with(File& file, const ReadContent& content) {
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

void Audit::finish_file(File& file) {
  if (file.fields.empty()) return;
  report(file.path(), &file.expected, std::move(file.entry.facts), std::move(file.fields));
}

}  // namespace ociunpack::audit
