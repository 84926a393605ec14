// What an audit reports: differences, in bounded memory, and what is missing or extra.
#include <algorithm>

#include "audit/audit.h"

namespace ociunpack::audit {
namespace {

// What a hostile directory may make us keep.
constexpr size_t kMostReportBytes = 64 << 20;

}  // namespace

bool Audit::full() {
  const std::lock_guard lock(result_mutex_);
  return is_full();
}

bool Audit::is_full() const {
  return result_.differences.size() >= options_.most_differences ||
         report_bytes_ >= kMostReportBytes;
}

void Audit::report(std::string path, const ExpectedNode* expected, std::optional<EntryFacts> found,
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
    for (const auto& [name, value] : (*facts)->xattrs) report_bytes_ += name.size() + value.size();
  }
  result_.differences.push_back(std::move(difference));
}

void Audit::report_unreadable(const std::string& path, const ExpectedNode& expected,
                              DiskEntry entry, int error) {
  entry.facts.error = error;
  report(path, &expected, std::move(entry.facts), {"unreadable"});
}

void Audit::report_other_type(const OpenDirectoryRef& directory, const std::string& name,
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

void Audit::read_rest(const OpenDirectory& directory, const std::string& name,
                      DiskEntry* entry) const {
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

void Audit::report_missing(const ExpectedNode& node) {
  std::vector<ExpectedNode> missing{node};
  while (!missing.empty()) {
    const ExpectedNode at = std::move(missing.back());
    missing.pop_back();
    if (!comparer_.may_be_missing(at)) report(at.path(), &at, std::nullopt, {});
    if (at.type() != NodeType::kDirectory) continue;
    for (ExpectedNode& child : tree_.children(at)) missing.push_back(std::move(child));
  }
}

void Audit::report_unseen(Listing* listing) {
  if (cancelled()) return;
  std::vector<std::string_view>& seen = listing->seen;
  std::sort(seen.begin(), seen.end());
  for (const ExpectedNode& child : tree_.children(*listing->expected)) {
    if (!std::binary_search(seen.begin(), seen.end(), child.name())) report_missing(child);
  }
}

void Audit::report_extra(const OpenDirectoryRef& directory, const std::string& name,
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

}  // namespace ociunpack::audit
