// Every system call that writes a layer fails in its turn: the unpack ends with a typed error that
// tells of it, or with the right result; its directories can be removed, and no descriptor is lost.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "../check.h"
#include "../tar/tar_builder.h"
#include "../tree/layers.h"
#include "apply/remove.h"
#include "apply/whiteout.h"
#include "base/sys.h"
#include "pipeline/layer_job.h"
#include "scratch.h"
#include "tree/index.h"

namespace ociunpack {
namespace {

// What is to fail: the `turn`-th call, counted from 1, with `error`.
std::atomic<int> turn{0};
std::atomic<int> error_to_inject{0};
std::atomic<bool> counting{false};
std::atomic<const char*> failed_call{nullptr};

}  // namespace

namespace sys {
int inject(const char* call) {
  if (!counting.load(std::memory_order_relaxed)) return 0;
  const int error = error_to_inject.load();
  const bool is_short = std::strncmp(call, "short ", 6) == 0;
  if (is_short != (error == kShortWrite)) return 0;
  if (turn.fetch_sub(1) != 1) return 0;
  failed_call = call;
  return error;
}
}  // namespace sys

namespace {

using check::is_root;
using check::Scratch;
namespace build = tar_test;

std::string lower_layer() {
  std::string tar;
  tar += build::entry({.name = "d/", .type = '5', .mode = 02755, .gid = 7});
  tar += build::entry({.name = "d/target", .uid = 5}, "content of the target");
  tar += build::entry({.name = "d/old"}, "old");
  tar += build::entry({.name = "opaque/", .type = '5'});
  tar += build::entry({.name = "opaque/hidden"}, "hidden");
  tar += build::entry({.name = "gone"}, "gone");
  return tar + build::zeros(2);
}

std::string upper_layer() {
  std::string tar;
  tar += build::entry({.name = "./", .type = '5', .mode = 0711});
  tar += build::pax({{"SCHILY.xattr.security.note", "kept"}, {"mtime", "1.5"}});
  tar += build::entry({.name = "file", .mode = 04755, .uid = 3, .gid = 4}, std::string(3000, 'x'));
  tar += build::entry({.name = "empty"});
  tar += build::entry({.name = "big"}, std::string(1'500'000, 'b'));
  tar += build::pax({{"GNU.sparse.major", "0"},
                     {"GNU.sparse.minor", "1"},
                     {"GNU.sparse.size", "100000"},
                     {"GNU.sparse.map", "0,3,50000,2,100000,0"}});
  tar += build::entry({.name = "sparse"}, "abcde");
  tar += build::entry({.name = "link", .type = '1', .link = "file"});
  tar += build::entry({.name = "into-lower", .type = '1', .link = "d/target"});
  tar += build::entry({.name = "symlink", .type = '2', .link = "file", .uid = 9});
  tar += build::pax({{"SCHILY.xattr.security.note", "of a fifo"}});
  tar += build::entry({.name = "fifo", .type = '6', .mode = 01644});
  tar += build::entry({.name = "device", .type = '3', .dev_major = 1, .dev_minor = 3});
  tar += build::entry({.name = "implicit/deep/x"}, "x");
  tar += build::entry({.name = "twice/", .type = '5'});
  tar += build::entry({.name = "twice/x"}, "x");
  tar += build::entry({.name = "twice"}, "a file now");
  tar += build::entry({.name = ".wh.gone"});
  tar += build::entry({.name = "d/.wh.old"});
  tar += build::entry({.name = "opaque/.wh..wh..opq"});
  return tar + build::zeros(2);
}

UniqueFd blob(const std::string& bytes) {
  UniqueFd fd(::memfd_create("layer", MFD_CLOEXEC));
  CHECK_EQ(::write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  return fd;
}

size_t open_descriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    count++;
  }
  return count;
}

// Descriptors in the end: the worker lets go of a job's just after it has called back.
size_t settled_descriptors(size_t expected) {
  size_t count = open_descriptors();
  for (int i = 0; i < 2000 && count != expected; i++) {
    ::usleep(1000);
    count = open_descriptors();
  }
  return count;
}

std::string listing(const std::string& root) {
  std::vector<std::string> lines;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const std::string path = entry.path().string();
    struct stat status {};
    CHECK_EQ(::lstat(path.c_str(), &status), 0);
    char value[64] = {};
    const ssize_t xattr = ::lgetxattr(path.c_str(), "security.note", value, sizeof value);
    const ssize_t opaque = ::lgetxattr(path.c_str(), "trusted.overlay.opaque", nullptr, 0);
    char line[256];
    std::snprintf(line, sizeof line, " %o %u:%u n%lu %ld %lx %ld.%09ld %ld %ld %ld", status.st_mode,
                  status.st_uid, status.st_gid, static_cast<unsigned long>(status.st_nlink),
                  S_ISDIR(status.st_mode) ? 0L : static_cast<long>(status.st_size),
                  static_cast<unsigned long>(status.st_rdev),
                  static_cast<long>(status.st_mtim.tv_sec), status.st_mtim.tv_nsec,
                  static_cast<long>(xattr), static_cast<long>(opaque),
                  S_ISREG(status.st_mode) ? static_cast<long>(status.st_blocks) : 0L);
    lines.push_back(path.substr(root.size()) + line);
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

template <typename T>
struct Waiter {
  std::promise<Result<T>> promise;
  auto callback() {
    return [this](Result<T> result) { promise.set_value(std::move(result)); };
  }
  Result<T> wait() { return promise.get_future().get(); }
};

struct Unpacked {
  std::optional<Error> error;
  std::string listing;
};

class Unpacker {
 public:
  explicit Unpacker(Format format) : format_(format) {
    group_ = Scheduler::instance().make_group(1).value();
  }

  // The lower layer without faults, the upper one with the one that is set.
  Unpacked run(int error, int nth) {
    Unpacked unpacked;
    const std::string lower = scratch_.host("lower");
    const std::string upper = scratch_.host("upper");
    const std::string flat = scratch_.host("flat");
    std::filesystem::create_directory(lower);
    std::filesystem::create_directory(upper);
    std::filesystem::create_directory(flat);
    SettleOptions settle;
    if (format_ == Format::kFlat) settle.flat_root = flat;
    auto below = layer(lower_, lower, nullptr, settle);
    check_below(below);
    error_to_inject = error;
    turn = nth;
    failed_call = nullptr;
    counting = true;
    settle.index_path = scratch_.host("index");
    auto above = layer(upper_, upper, below.value(), settle);
    counting = false;
    if (above.ok()) {
      unpacked.listing = listing(format_ == Format::kFlat ? flat : upper);
      const auto index = load_index(settle.index_path);
      CHECK_OK(index);
      if (index.ok()) unpacked.listing += test::show(*index.value());
    } else {
      unpacked.error = above.error();
    }
    return unpacked;
  }

  // Roll-back, as the orchestrator does it.
  void clean() {
    for (const char* name : {"lower", "upper", "flat"}) {
      CHECK_OK(remove_tree(*scratch_.root, name));
    }
    std::filesystem::remove(scratch_.host("index"));
  }

 private:
  Result<std::shared_ptr<const TreeView>> layer(const UniqueFd& bytes, const std::string& directory,
                                                std::shared_ptr<const TreeView> below,
                                                SettleOptions settle) {
    LayerOptions options;
    options.source = FdSource{bytes.get(), 0, -1};
    options.directory = directory;
    options.format = format_;
    options.has_lower = below != nullptr;
    options.group = group_;
    Waiter<LayerResult> done;
    const auto job = LayerJob::start(options, done.callback());
    auto first = done.wait();
    if (!first.ok()) {
      job->close();
      return std::move(first).error();
    }
    Waiter<SettleResult> settled;
    job->settle(std::move(below), std::move(settle), settled.callback());
    auto result = settled.wait();
    job->close();
    if (!result.ok()) return std::move(result).error();
    return result.value().tree;
  }

  static void check_below(const Result<std::shared_ptr<const TreeView>>& result) {
    CHECK_OK(result);
  }

  const Format format_;
  Scratch scratch_;
  Scheduler::GroupRef group_;
  const UniqueFd lower_ = blob(lower_layer());
  const UniqueFd upper_ = blob(upper_layer());
};

void fail_each_call(Format format, int error, const char* name) {
  Unpacker unpacker(format);
  const Unpacked good = unpacker.run(0, 0);
  CHECK(!good.error);
  unpacker.clean();
  ::usleep(100'000);
  const size_t descriptors = open_descriptors();
  int calls = 0;
  for (int nth = 1; nth < 2000; nth++) {
    const Unpacked unpacked = unpacker.run(error, nth);
    const char* call = failed_call.load();
    unpacker.clean();
    const std::string what = std::string(name) + " of call " + std::to_string(nth) + ", " +
                             (call == nullptr ? "none" : call) + ": ";
    if (unpacked.error) {
      CHECK(call != nullptr);
      // The error says which call it was, and why.
      CHECK_EQ(what + std::to_string(unpacked.error->error_number), what + std::to_string(error));
      CHECK(!unpacked.error->operation.empty());
      CHECK(unpacked.error->code != Code::ERR_INTERNAL);
    } else {
      CHECK_EQ(what + unpacked.listing, what + good.listing);
    }
    CHECK_EQ(what + std::to_string(settled_descriptors(descriptors)),
             what + std::to_string(descriptors));
    if (call == nullptr) break;
    calls++;
    // Where it is not an interruption, the unpack may not go on as if nothing had happened.
    if (error != EINTR && error != sys::kShortWrite)
      CHECK_EQ(what + "went on",
               what + (unpacked.error ? "went on" : "as if nothing had happened"));
  }
  CHECK(calls > (error == sys::kShortWrite ? 3 : 60));
}

// Where mknod(2) is refused: files with an xattr, which the kernel must take for whiteouts.
TEST(whiteouts_without_devices) {
  if (!is_root()) SKIP("needs root: trusted.*, mount");
  Scratch scratch;
  scratch.directory("low");
  scratch.put_file("low/gone", "gone");
  scratch.put_file("low/stays", "stays");
  scratch.directory("low/d");
  scratch.put_file("low/d/gone", "gone");
  const DirRef top = scratch.directory("top");
  const DirRef inner = scratch.directory("top/d");
  scratch.directory("empty");
  scratch.directory("merged");
  for (const DirRef& directory : {top, inner}) {
    error_to_inject = EPERM;
    turn = 1;
    counting = true;
    const Status written = write_whiteout(scratch.context, *directory, "gone");
    counting = false;
    CHECK_EQ(std::string(failed_call.load()), "mknodat");
    if (!written.ok() && written.error().detail.find("6.8") != std::string::npos) {
      SKIP("this kernel does not know whiteouts without devices");
    }
    REQUIRE_OK(written);
  }
  CHECK_EQ(scratch.look("top/gone").st_mode & S_IFMT, S_IFREG);
  CHECK_EQ(scratch.look("top/gone").st_size, 0);
  CHECK_EQ(scratch.xattr("top/gone", "trusted.overlay.whiteout"), "y");
  CHECK_EQ(scratch.xattr("top", "trusted.overlay.opaque"), "x");
  CHECK_EQ(scratch.xattr("top/d", "trusted.overlay.opaque"), "x");
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string options = "lowerdir=" + scratch.host("top") + ":" + scratch.host("low");
    const std::string merged = scratch.host("merged");
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("overlay", merged.c_str(), "overlay", MS_RDONLY, options.c_str()) != 0) {
      ::_exit(77);
    }
    std::string names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(merged)) {
      names += entry.path().string().substr(merged.size()) + " ";
    }
    ::_exit(names == "/d /stays " || names == "/stays /d " ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) SKIP("overlayfs cannot be mounted here");
  CHECK_EQ(status, 0);
  // An opaque directory stays opaque.
  REQUIRE_OK(mark_opaque(scratch.context, *inner));
  CHECK_EQ(scratch.xattr("top/d", "trusted.overlay.opaque"), "y");
}

TEST(each_call_fails_with_enospc) {
  if (!is_root()) SKIP("needs root: chown, mknod");
  fail_each_call(Format::kOverlay, ENOSPC, "ENOSPC");
  fail_each_call(Format::kFlat, ENOSPC, "ENOSPC");
}
TEST(each_call_fails_with_eio) {
  if (!is_root()) SKIP("needs root: chown, mknod");
  fail_each_call(Format::kOverlay, EIO, "EIO");
}
TEST(each_call_fails_with_emfile) {
  if (!is_root()) SKIP("needs root: chown, mknod");
  fail_each_call(Format::kOverlay, EMFILE, "EMFILE");
}
TEST(each_call_fails_with_eacces) {
  if (!is_root()) SKIP("needs root: chown, mknod");
  fail_each_call(Format::kOverlay, EACCES, "EACCES");
  fail_each_call(Format::kFlat, EACCES, "EACCES");
}
TEST(each_call_is_interrupted) {
  if (!is_root()) SKIP("needs root: chown, mknod");
  fail_each_call(Format::kOverlay, EINTR, "EINTR");
}
TEST(each_write_is_short) {
  if (!is_root()) SKIP("needs root: chown, mknod");
  fail_each_call(Format::kOverlay, sys::kShortWrite, "a short write");
  fail_each_call(Format::kFlat, sys::kShortWrite, "a short write");
}

}  // namespace
}  // namespace ociunpack
