// Fuzzes the whole of an unpack: small layers, through the layer job, into a directory on a tmpfs
// of its own, beside a canary tree that nothing may touch. The rest of the file system is read-only
// meanwhile. What is on disk must be what the tree says. The first byte of the input chooses the
// format and the policies, the second whether the rest is a tar or makes one (fuzz_layers.h).
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <string>

#include "apply/remove.h"
#include "fuzz_layers.h"
#include "fuzz_tar.h"
#include "pipeline/layer_job.h"

namespace ociunpack {
namespace {

constexpr const char* kBase = "/tmp/oci-unpack-fuzz";

void need(int result, const char* what) {
  if (result == 0) return;
  std::perror(what);
  std::exit(1);
}

[[noreturn]] void broken(const std::string& what) {
  std::fprintf(stderr, "broken promise: %s\n", what.c_str());
  std::abort();
}

void write_text(const std::string& path, const char* text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0 || ::write(fd, text, std::strlen(text)) < 0) need(-1, path.c_str());
  ::close(fd);
}

// A mount namespace in which all but the tmpfs and the working directory (the corpus) is read-only.
void enter_sandbox() {
  const uid_t uid = ::getuid();
  const gid_t gid = ::getgid();
  if (::unshare(CLONE_NEWNS) != 0) {
    need(::unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare");
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", ("0 " + std::to_string(uid) + " 1").c_str());
    write_text("/proc/self/gid_map", ("0 " + std::to_string(gid) + " 1").c_str());
  }
  need(::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "mount --make-rprivate");
  ::mkdir(kBase, 0755);
  need(::mount("fuzz", kBase, "tmpfs", 0, "size=64m,mode=755"), "mount -t tmpfs");
  char directory[4096];
  if (::getcwd(directory, sizeof directory) == nullptr) need(-1, "getcwd");
  need(::mount(directory, directory, nullptr, MS_BIND, nullptr), "mount --bind");
  mount_attr read_only{};
  read_only.attr_set = MOUNT_ATTR_RDONLY;
  need(static_cast<int>(
           ::syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &read_only, sizeof read_only)),
       "mount_setattr");
  mount_attr writable{};
  writable.attr_clr = MOUNT_ATTR_RDONLY;
  for (const char* path : {kBase, static_cast<const char*>(directory)}) {
    need(static_cast<int>(
             ::syscall(SYS_mount_setattr, AT_FDCWD, path, 0, &writable, sizeof writable)),
         "mount_setattr");
  }
  need(::chdir(directory), "chdir");
}

std::string stamp(const struct stat& status) {
  char text[256];
  std::snprintf(text, sizeof text, "%o %u:%u n%lu %ld %ld.%09ld %ld.%09ld", status.st_mode,
                status.st_uid, status.st_gid, static_cast<unsigned long>(status.st_nlink),
                static_cast<long>(status.st_size), static_cast<long>(status.st_mtim.tv_sec),
                status.st_mtim.tv_nsec, static_cast<long>(status.st_ctim.tv_sec),
                status.st_ctim.tv_nsec);
  return text;
}

// Everything outside of the layers' directories. The change time tells of a link, chmod or xattr
// that came and went.
std::map<std::string, std::string> canaries() {
  std::map<std::string, std::string> seen;
  const std::string base = kBase;
  for (const char* path : {"/canary", "/canary/secret", "/canary/directory",
                           "/canary/directory/file", "/canary/link", "/work/canary"}) {
    struct stat status {};
    if (::lstat((base + path).c_str(), &status) == 0) seen[path] = stamp(status);
  }
  return seen;
}

std::map<std::string, std::string>* at_start;

void make_canaries() {
  const std::string base = kBase;
  for (const char* path : {"/canary", "/canary/directory", "/work"}) {
    need(::mkdir((base + path).c_str(), 0755), path);
  }
  write_text(base + "/canary/secret", "secret");
  write_text(base + "/canary/directory/file", "file");
  write_text(base + "/work/canary", "canary");
  need(::symlink("secret", (base + "/canary/link").c_str()), "symlink");
  at_start = new std::map<std::string, std::string>(canaries());
}

void count_names(int directory, size_t* names) {
  DIR* stream = ::fdopendir(directory);
  if (stream == nullptr) need(-1, "fdopendir");
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    ++*names;
    if (entry->d_type != DT_DIR) continue;
    count_names(::openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                names);
  }
  ::closedir(stream);
}

mode_t type_on_disk(NodeType type) {
  switch (type) {
    case NodeType::kDirectory:
      return S_IFDIR;
    case NodeType::kFile:
      return S_IFREG;
    case NodeType::kSymlink:
      return S_IFLNK;
    case NodeType::kBlockDevice:
      return S_IFBLK;
    case NodeType::kFifo:
      return S_IFIFO;
    default:
      return S_IFCHR;
  }
}

// An overlay layer on disk is what its tree says, no name more; whiteouts and opaque marks are
// those that settle has decided on.
void check_disk(const LayerTree& tree, const std::string& directory) {
  size_t present = 0;
  std::map<InodeId, ino_t> inodes;
  for (NodeId id = 1; id < tree.node_count(); id++) {
    if (!tree.present(id)) continue;
    present++;
    const std::string path = directory + "/" + tree.path(id);
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) broken("missing on disk: " + path);
    const Inode& inode = tree.inode_of(id);
    if ((status.st_mode & S_IFMT) != type_on_disk(inode.type)) broken("another type: " + path);
    const bool null_device = S_ISCHR(status.st_mode) && status.st_rdev == 0;
    if (null_device != (inode.type == NodeType::kWhiteout)) broken("a whiteout: " + path);
    if (inode.type == NodeType::kWhiteout) continue;
    const mode_t mode = inode.type == NodeType::kSymlink ? 0777 : inode.mode;
    if ((status.st_mode & 07777) != mode) broken("another mode: " + path);
    if (status.st_mtim.tv_sec != inode.mtime.seconds) broken("another time: " + path);
    const auto [seen, added] = inodes.emplace(tree.node(id).inode, status.st_ino);
    if (seen->second != status.st_ino) broken("no hardlink: " + path);
    char value[8];
    const ssize_t length = ::lgetxattr(path.c_str(), "trusted.overlay.opaque", value, sizeof value);
    if ((length == 1 && value[0] == 'y') != tree.node(id).opaque) broken("opaque: " + path);
  }
  size_t names = 0;
  count_names(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), &names);
  if (names != present) broken("more or fewer names on disk than in the tree: " + directory);
}

UniqueFd blob_of(std::span<const uint8_t> bytes) {
  UniqueFd fd(::memfd_create("layer", MFD_CLOEXEC));
  if (!fd.valid() || ::write(fd.get(), bytes.data(), bytes.size()) < 0) need(-1, "memfd_create");
  return fd;
}

template <typename T>
struct Waiter {
  std::promise<Result<T>> promise;
  Result<T> wait() { return promise.get_future().get(); }
};

void unpack(const std::vector<std::vector<uint8_t>>& layers, uint8_t choice) {
  static const Scheduler::GroupRef one = Scheduler::instance().make_group(1).value();
  static const Scheduler::GroupRef two = Scheduler::instance().make_group(2).value();
  const std::string work = std::string(kBase) + "/work";
  const Format format = (choice & 3) == 3   ? Format::kFlat
                        : (choice & 3) == 2 ? Format::kOverlayUserxattr
                                            : Format::kOverlay;
  const std::string flat_root = work + "/flat";
  if (format == Format::kFlat) ::mkdir(flat_root.c_str(), 0755);
  std::shared_ptr<const TreeView> below;
  for (size_t i = 0; i < layers.size(); i++) {
    LayerOptions options;
    const UniqueFd blob = blob_of(layers[i]);
    options.source = FdSource{blob.get(), 0, -1};
    options.directory = work + "/" + std::to_string(i);
    ::mkdir(options.directory.c_str(), 0755);
    options.format = format;
    options.has_lower = i > 0;
    options.policies.xattrs = XattrMode::kBestEffort;
    options.policies.overlay_xattrs =
        (choice & 4) != 0 ? OverlayXattrs::kStrip : OverlayXattrs::kEscape;
    options.plan.symlink_parents =
        (choice & 8) != 0 ? SymlinkParents::kReplace : SymlinkParents::kFollow;
    options.plan.accept_device_whiteouts = (choice & 16) != 0;
    options.limits.max_bytes = 1 << 20;
    options.limits.max_entries = 300;
    options.limits.max_path_depth = 200;
    options.group = (choice & 32) != 0 ? two : one;
    Waiter<LayerResult> done;
    auto job = LayerJob::start(
        options, [&](Result<LayerResult> result) { done.promise.set_value(std::move(result)); });
    auto first = done.wait();
    bool ok = first.ok();
    if (!ok && first.error().error_number == EROFS) broken("a write outside of the tmpfs");
    if (ok) {
      Waiter<SettleResult> settled;
      SettleOptions settle;
      if (format == Format::kFlat) settle.flat_root = flat_root;
      job->settle(below, settle, [&](Result<SettleResult> result) {
        settled.promise.set_value(std::move(result));
      });
      auto result = settled.wait();
      ok = result.ok();
      if (!ok && result.error().error_number == EROFS) broken("a write outside of the tmpfs");
      if (!ok && result.error().code == Code::ERR_IO) broken(result.error().message());
      if (ok) {
        below = result.value().tree;
        if (format == Format::kOverlay) check_disk(below->tree(), options.directory);
      }
    } else if (first.error().code == Code::ERR_IO || first.error().code == Code::ERR_NOT_FOUND) {
      broken(first.error().message());
    }
    job->close();
    if (canaries() != *at_start) broken("the canary tree has changed");
    if (!ok) return;
  }
}

void clean() {
  // By our own removal, which meets odd modes and long paths here.
  const std::string work = std::string(kBase) + "/work";
  DirHandle parent{UniqueFd(::open(work.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), work};
  for (int i = 0; i < 4; i++) {
    if (!remove_tree(parent, std::to_string(i)).ok()) broken("a layer cannot be removed");
  }
  if (!remove_tree(parent, "flat").ok()) broken("the flat root cannot be removed");
  if (canaries().size() != at_start->size()) broken("the canary tree has changed");
}

}  // namespace
}  // namespace ociunpack

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  ociunpack::enter_sandbox();
  ociunpack::make_canaries();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ociunpack;
  if (size < 4) return 0;
  std::vector<std::vector<uint8_t>> layers;
  const std::span<const uint8_t> rest(data + 2, size - 2);
  if (data[1] % 2 == 0) {
    for (const fuzz::SaidLayer& layer : fuzz::layers_of(rest, 60)) {
      layers.push_back(fuzz::tar_of(layer));
    }
  } else {
    layers.emplace_back(rest.begin(), rest.end());
    fuzz::make_checksums_right(&layers.back());
  }
  unpack(layers, data[0]);
  clean();
  // The parent's times change with each layer directory.
  (*at_start) = canaries();
  return 0;
}
