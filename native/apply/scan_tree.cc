#include "apply/scan_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <utility>
#include <vector>

#include "apply/root_dir.h"
#include "base/dir_stream.h"
#include "base/unique_fd.h"
#include "base/xattrs.h"

namespace ociunpack {
namespace {

NodeType node_type(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return NodeType::kDirectory;
    case S_IFLNK:
      return NodeType::kSymlink;
    case S_IFCHR:
      return NodeType::kCharDevice;
    case S_IFBLK:
      return NodeType::kBlockDevice;
    case S_IFIFO:
    case S_IFSOCK:
      return NodeType::kFifo;
    default:
      return NodeType::kFile;
  }
}

class Scan {
 public:
  explicit Scan(RootDir root) : root_(std::move(root)), tree_(std::make_shared<LayerTree>()) {}

  Result<std::shared_ptr<LayerTree>> run() {
    struct stat status {};
    OCIUNPACK_ASSIGN(const UniqueFd top, root_.open_directory(""));
    if (::fstat(top.get(), &status) != 0) return system_error(errno, "fstat", "");
    device_ = status.st_dev;
    OCIUNPACK_TRY(fill(kRootNode, status, top.get(), {}));
    tree_->node(kRootNode).implicit = false;
    std::vector<NodeId> directories{kRootNode};
    while (!directories.empty()) {
      const NodeId id = directories.back();
      directories.pop_back();
      OCIUNPACK_TRY(scan_directory(id, &directories));
    }
    return tree_;
  }

 private:
  Status scan_directory(NodeId id, std::vector<NodeId>* directories) {
    const std::string path = tree_->path(id);
    OCIUNPACK_ASSIGN(UniqueFd fd, root_.open_directory(path));
    OCIUNPACK_ASSIGN(DirStream stream, DirStream::open(std::move(fd), path));
    const int number = stream.fd();
    for (;;) {
      OCIUNPACK_ASSIGN(const dirent* entry, stream.next(path));
      if (entry == nullptr) return {};
      const std::string name = entry->d_name;
      struct stat status {};
      if (::fstatat(number, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return system_error(errno, "fstatat", path + "/" + name);
      }
      const NodeId child = tree_->find_or_add(id, name);
      const auto known = status.st_nlink > 1 && !S_ISDIR(status.st_mode)
                             ? linked_.try_emplace({status.st_dev, status.st_ino}, kNoInode).first
                             : linked_.end();
      if (known != linked_.end() && known->second != kNoInode) {
        tree_->place(child, known->second);
        continue;
      }
      const InodeId inode = tree_->new_inode(node_type(status.st_mode), child);
      if (known != linked_.end()) known->second = inode;
      tree_->place(child, inode);
      OCIUNPACK_TRY(fill(child, status, number, name));
      if (S_ISLNK(status.st_mode)) OCIUNPACK_TRY(read_target(number, name, child));
      // What is mounted below is not ours to look into.
      if (S_ISDIR(status.st_mode) && status.st_dev == device_) directories->push_back(child);
    }
  }

  Status fill(NodeId id, const struct stat& status, int fd, std::string_view name) {
    Inode& inode = tree_->inode_of(id);
    inode.mode = static_cast<uint16_t>(status.st_mode & 07777);
    inode.uid = status.st_uid;
    inode.gid = status.st_gid;
    inode.mtime = {status.st_mtim.tv_sec, static_cast<uint32_t>(status.st_mtim.tv_nsec)};
    inode.size = S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : 0;
    inode.dev_major = major(status.st_rdev);
    inode.dev_minor = minor(status.st_rdev);
    return read_xattrs(id, fd, name);
  }

  Status read_target(int directory, const std::string& name, NodeId id) {
    std::string target(4096, '\0');
    const ssize_t length = ::readlinkat(directory, name.c_str(), target.data(), target.size());
    if (length < 0) return system_error(errno, "readlinkat", tree_->path(id));
    tree_->inode_of(id).target = tree_->keep({target.data(), static_cast<size_t>(length)});
    return {};
  }

  Status read_xattrs(NodeId id, int fd, std::string_view name) {
    std::vector<std::pair<std::string, std::string>> xattrs;
    const auto wanted = [](std::string_view) { return true; };
    const auto keep = [&xattrs](const char* xattr, std::string_view value) {
      xattrs.emplace_back(xattr, value);
      return Status();
    };
    OCIUNPACK_TRY(for_each_xattr(fd, name, tree_->path(id), wanted, keep));
    const std::vector<Xattr> views(xattrs.begin(), xattrs.end());
    tree_->inode_of(id).xattrs = tree_->keep_xattrs(views);
    return {};
  }

  RootDir root_;
  std::shared_ptr<LayerTree> tree_;
  dev_t device_ = 0;
  std::map<std::pair<dev_t, ino_t>, InodeId> linked_;
};

}  // namespace

Result<std::shared_ptr<LayerTree>> scan_tree(const std::string& directory) {
  OCIUNPACK_ASSIGN(RootDir root, RootDir::open(directory));
  return Scan(std::move(root)).run();
}

}  // namespace ociunpack
