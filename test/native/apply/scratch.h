// An empty layer directory for one test, on a tmpfs where there is one, and what reads back from
// disk what was written there. Also runs code as a user without any privilege.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "apply/attributes.h"
#include "apply/context.h"
#include "apply/create.h"
#include "apply/dir_cache.h"
#include "base/note.h"

namespace ociunpack::check {

class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // Everything below; `host("")` is the layer's root.
  std::string host(std::string_view path) const;
  // Of the path itself, also when it is a symlink; st_nlink 0 where nothing is.
  struct stat look(std::string_view path) const;
  std::string content(std::string_view path) const;
  std::string target(std::string_view path) const;
  // "<none>" where there is no such attribute.
  std::string xattr(std::string_view path, const char* name) const;
  // A directory made by mkdir(2), opened.
  DirRef directory(std::string_view path) const;
  DirRef open(std::string_view path) const;
  void put_file(std::string_view path, std::string_view content) const;
  void put_symlink(std::string_view path, std::string_view target) const;
  void put_xattr(std::string_view path, const char* name, std::string_view value) const;

  // "kind path" of each note since the last call, sorted, joined by ", ".
  std::string notes();

  NoteSink sink;
  ApplyContext context;
  DirRef root;

 private:
  std::string base_;
};

Status put(Scratch& scratch, std::string_view name, std::string_view content,
           const Attributes& attributes);

bool is_root();

// Runs `body` in a child process as uid and gid 65534, without groups and capabilities; returns
// what it returned. `summary` makes such a string of a status: "ok", or the error's code and
// message.
std::string as_nobody(const std::function<std::string()>& body);
std::string summary(const Status& status);

}  // namespace ociunpack::check
