#include "scratch.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "../check.h"
#include "apply/prepare_root.h"

namespace ociunpack::check {
namespace {

std::string base_directory() {
  for (const char* parent : {"/dev/shm", "/tmp"}) {
    std::string name = std::string(parent) + "/oci-unpack-apply-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) return name;
  }
  return {};
}

}  // namespace

Scratch::Scratch() : base_(base_directory()) {
  ::umask(0);  // as the scheduler's workers have it
  ::chmod(base_.c_str(), 0755);
  ::mkdir(host("").c_str(), 0755);
  context.notes = &sink;
  context.euid = ::geteuid();
  context.egid = ::getegid();
  context.umask_private = true;
  auto prepared = prepare_root(context, host(""));
  CHECK_OK(prepared);
  if (prepared.ok()) root = std::move(prepared).value();
}

Scratch::~Scratch() {
  root.reset();
  std::error_code ignored;
  std::filesystem::remove_all(base_, ignored);
}

std::string Scratch::host(std::string_view path) const {
  return base_ + "/root" + (path.empty() ? "" : "/") + std::string(path);
}

struct stat Scratch::look(std::string_view path) const {
  struct stat status {};
  if (::lstat(host(path).c_str(), &status) != 0) status = {};
  return status;
}

std::string Scratch::content(std::string_view path) const {
  const UniqueFd fd(::open(host(path).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return "<none>";
  std::string bytes(static_cast<size_t>(look(path).st_size), '\0');
  const ssize_t got = ::pread(fd.get(), bytes.data(), bytes.size(), 0);
  return got == static_cast<ssize_t>(bytes.size()) ? bytes : "<short>";
}

std::string Scratch::target(std::string_view path) const {
  char bytes[4096];
  const ssize_t length = ::readlink(host(path).c_str(), bytes, sizeof bytes);
  return length < 0 ? "<none>" : std::string(bytes, static_cast<size_t>(length));
}

std::string Scratch::xattr(std::string_view path, const char* name) const {
  char value[4096];
  const ssize_t length = ::lgetxattr(host(path).c_str(), name, value, sizeof value);
  return length < 0 ? "<none>" : std::string(value, static_cast<size_t>(length));
}

DirRef Scratch::directory(std::string_view path) const {
  CHECK_EQ(::mkdir(host(path).c_str(), 0755), 0);
  return open(path);
}

DirRef Scratch::open(std::string_view path) const {
  UniqueFd fd(::open(host(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(fd.valid());
  return std::make_shared<const DirHandle>(DirHandle{std::move(fd), std::string(path)});
}

void Scratch::put_file(std::string_view path, std::string_view content) const {
  const UniqueFd fd(::open(host(path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  CHECK(fd.valid());
  CHECK_EQ(::write(fd.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
}

void Scratch::put_symlink(std::string_view path, std::string_view target) const {
  CHECK_EQ(::symlink(std::string(target).c_str(), host(path).c_str()), 0);
}

void Scratch::put_xattr(std::string_view path, const char* name, std::string_view value) const {
  CHECK_EQ(::lsetxattr(host(path).c_str(), name, value.data(), value.size(), 0), 0);
}

std::string Scratch::notes() {
  std::vector<std::string> lines;
  for (const Note& note : sink.take()) lines.push_back(note.kind + " " + note.path);
  std::sort(lines.begin(), lines.end());
  std::string joined;
  for (const std::string& line : lines) joined += (joined.empty() ? "" : ", ") + line;
  return joined;
}

Status put(Scratch& scratch, std::string_view name, std::string_view content,
           const Attributes& attributes) {
  const DataPiece piece{reinterpret_cast<const uint8_t*>(content.data()), content.size(), 0};
  return create_file(scratch.context, *scratch.root, name, attributes, content.size(),
                     {&piece, content.empty() ? 0U : 1U});
}

bool is_root() { return ::geteuid() == 0; }

std::string as_nobody(const std::function<std::string()>& body) {
  constexpr uid_t kNobody = 65534;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "pipe failed";
  const pid_t child = ::fork();
  if (child == 0) {
    std::string text = "setresuid failed";
    if (!is_root() ||
        (::setgroups(0, nullptr) == 0 && ::setresgid(kNobody, kNobody, kNobody) == 0 &&
         ::setresuid(kNobody, kNobody, kNobody) == 0 &&
         // As if it had been started so: else /proc/self belongs to root.
         ::prctl(PR_SET_DUMPABLE, 1) == 0)) {
      text = body();
    }
    const bool written = ::write(ends[1], text.data(), text.size()) >= 0;
    ::_exit(written ? 0 : 1);  // no destructors: the scratch directory is the parent's
  }
  ::close(ends[1]);
  std::string text;
  char bytes[4096];
  for (ssize_t got; (got = ::read(ends[0], bytes, sizeof bytes)) > 0;) {
    text.append(bytes, static_cast<size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return status == 0 ? text : text + " (the child failed)";
}

std::string summary(const Status& status) {
  if (status.ok()) return "ok";
  return std::string(code_name(status.error().code)) + " " + status.error().message();
}

}  // namespace ociunpack::check
