// Whether an EROFS image can be mounted from a file, without a loop device (Linux 6.12): by
// mounting one of a single block. Its format: Linux, fs/erofs/erofs_fs.h, "EROFS (Enhanced ROM File
// System)".
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <string_view>

#include "base/unique_fd.h"
#include "host/mount.h"
#include "host/probe_scratch.h"

namespace ociunpack {
namespace {

constexpr size_t kBlockBytes = 4096;
constexpr std::string_view kContent = "seen";

class Image {
 public:
  // A root directory with one file `f`, all in one block behind the superblock.
  Image() {
    constexpr size_t kSuperblock = 1024;
    put(kSuperblock, 0xE0F5E1E2, 4);             // magic
    put(kSuperblock + 12, 12, 1);                // blkszbits: 4 KiB
    put(kSuperblock + 14, kRoot, 2);             // root_nid
    put(kSuperblock + 16, 2, 8);                 // inos
    put(kSuperblock + 36, 1, 4);                 // blocks; meta_blkaddr is 0
    constexpr std::string_view kNames = "...f";  // ".", ".." and "f", one after the other
    constexpr size_t kEntries = 3 * 12;
    inode(kRoot, S_IFDIR | 0755, 2, kEntries + kNames.size());
    const size_t entries = kRoot * kSlot + kSlot;
    entry(entries, kRoot, kEntries, 2);
    entry(entries + 12, kRoot, kEntries + 1, 2);
    entry(entries + 24, kFile, kEntries + 3, 1);
    text(entries + kEntries, kNames);
    inode(kFile, S_IFREG | 0444, 1, kContent.size());
    text(kFile * kSlot + kSlot, kContent);
  }

  std::string_view bytes() const { return {bytes_.data(), bytes_.size()}; }

 private:
  static constexpr size_t kSlot = 32;  // of a compact inode; a nid counts them
  static constexpr size_t kRoot = 40;
  static constexpr size_t kFile = 44;

  void put(size_t at, uint64_t value, size_t width) {
    for (size_t i = 0; i < width; ++i) bytes_[at + i] = static_cast<char>(value >> (8 * i));
  }
  void text(size_t at, std::string_view value) {
    std::memcpy(bytes_.data() + at, value.data(), value.size());
  }
  // erofs_inode_compact: FLAT_INLINE, the content follows the inode.
  void inode(size_t nid, unsigned mode, unsigned links, size_t size) {
    const size_t at = nid * kSlot;
    put(at, 2 << 1, 2);
    put(at + 4, mode, 2);
    put(at + 6, links, 2);
    put(at + 8, size, 4);
    put(at + 20, nid, 4);  // the inode number that stat(2) shows
  }
  // erofs_dirent.
  void entry(size_t at, size_t nid, size_t name_offset, unsigned type) {
    put(at, nid, 8);
    put(at + 8, name_offset, 2);
    put(at + 10, type, 1);
  }

  std::array<char, kBlockBytes> bytes_{};
};

bool kernel_lists_erofs() {
  std::ifstream file("/proc/filesystems");
  for (std::string word; file >> word;) {
    if (word == "erofs") return true;
  }
  return false;
}

}  // namespace

void probe_erofs(ProbeScratch& scratch) {
  constexpr const char* kId = "erofs-file-mount";
  scratch.make({"erofs"});
  const std::string image = scratch.at("image.erofs");
  const std::string target = scratch.at("erofs");
  const Image made;
  const std::string_view bytes = made.bytes();
  {
    UniqueFd file(::open(image.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (::write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      scratch.add_not_tested(kId, "write: " + errno_name(errno));
      return;
    }
  }
  if (::mount(image.c_str(), target.c_str(), "erofs", MS_RDONLY, nullptr) != 0) {
    const int error = errno;
    const std::string evidence = "mount(erofs, a file): " + errno_name(error);
    if (error == EPERM || error == EACCES) {
      const char* listed = kernel_lists_erofs() ? "; /proc/filesystems has erofs"
                                                : "; /proc/filesystems does not have erofs";
      scratch.add_not_tested(kId, evidence + listed);
    } else {
      scratch.add(kId, "ok", "no", evidence);  // ENODEV: no EROFS; ENOTBLK: from a device only
    }
    return;
  }
  std::string content;
  std::ifstream(target + "/f") >> content;
  (void)unmount(target, true);
  const bool seen = content == kContent;
  scratch.add(kId, "ok", seen ? "yes" : "no",
              seen ? "mount(erofs, a file): its content was read"
                   : "mount(erofs, a file): mounted, and its content cannot be read");
}

}  // namespace ociunpack
