// What the probes have in common: the scratch directory that they try things in, and the list of
// what they found.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "host/probes.h"

namespace ociunpack {

class ProbeScratch {
 public:
  explicit ProbeScratch(std::string directory) : directory_(std::move(directory)) {}

  const std::string& directory() const { return directory_; }
  std::string at(const char* name) const { return directory_ + "/" + name; }

  void make(std::initializer_list<const char*> names) const {
    std::error_code ignored;  // what lacks is told by what is done with it
    for (const char* name : names) std::filesystem::create_directories(at(name), ignored);
  }

  // Paths in the scratch directory are named from there: where it was says nothing afterwards.
  void add(const char* id, const char* status, std::string value, std::string evidence) {
    const std::string prefix = directory_ + "/";
    for (size_t at = 0; (at = evidence.find(prefix, at)) != std::string::npos;) {
      evidence.erase(at, prefix.size());
    }
    found_.push_back({id, status, std::move(value), std::move(evidence)});
  }

  // `yes` and ok for 0, else `no` and `status` with the error's name after the call.
  void add_errno(const char* id, const char* status, const std::string& call, int error) {
    const bool done = error == 0;
    add(id, done ? "ok" : status, done ? "yes" : "no",
        call + (done ? "" : ": " + errno_name(error)));
  }

  void add_not_tested(const char* id, std::string why) {
    add(id, "unknown", "not tested", std::move(why));
  }

  std::vector<Probe> take() { return std::move(found_); }

 private:
  const std::string directory_;
  std::vector<Probe> found_;
};

// One function a group; they do not depend on each other.
void probe_files(ProbeScratch& scratch);    // the file system: types, devices, owners, reflink
void probe_xattrs(ProbeScratch& scratch);   // what is kept
void probe_overlay(ProbeScratch& scratch);  // overlayfs: mounts and the whiteouts it reads
// redirect_dir, metacopy, index, and an upper; `options` are those of the mount (for tests).
void probe_overlay_defaults(ProbeScratch& scratch, const std::vector<std::string>& options = {});
void probe_opaque_copy_up(ProbeScratch& scratch);
// What the bug has left: `directory` is new in upper, `xattr` the mark that its lower one has.
Probe judge_upper_directory(const std::string& directory, const char* xattr);
void probe_mount_api(ProbeScratch& scratch);
void probe_erofs(ProbeScratch& scratch);

}  // namespace ociunpack
