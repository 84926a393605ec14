#include "host/mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/unique_fd.h"

// mount(2)'s header and linux/mount.h define the same names; only this declaration is needed of it.
extern "C" int mount(const char* source, const char* target, const char* type, unsigned long flags,
                     const void* data) noexcept;
extern "C" int umount2(const char* target, int flags) noexcept;

namespace ociunpack {
namespace {

constexpr unsigned long kReadOnly = MS_RDONLY;
constexpr int kDetach = 2;    // MNT_DETACH, umount(2)
constexpr int kNoFollow = 8;  // UMOUNT_NOFOLLOW
// fsconfig(2) takes at most 256 bytes for one string, its NUL included.
constexpr size_t kMaxStringBytes = 255;

Error mount_error(int error_number, std::string call, const std::string& path,
                  std::string detail = {}) {
  Error error = system_error(error_number, std::move(call), path, std::move(detail));
  error.code = Code::ERR_MOUNT;
  return error;
}

int fsconfig(int fs, unsigned command, const char* key, const void* value, int aux) {
  return static_cast<int>(::syscall(SYS_fsconfig, fs, command, key, value, aux));
}

// What the kernel has written to the context's log (fsopen(2)): "e overlay: ...", a line a message.
std::string context_log(int fs) {
  std::string log;
  char line[512];
  for (;;) {
    const ssize_t length = ::read(fs, line, sizeof line);
    if (length <= 0) return log;
    if (!log.empty()) log += "; ";
    log.append(line, static_cast<size_t>(length));
    while (!log.empty() && log.back() == '\n') log.pop_back();
  }
}

// A mount that is configured option by option. Descriptors of layers whose paths are too long for a
// string are kept open until the mount is made.
class OverlayContext {
 public:
  // False: the kernel has not the new mount API, or not for this.
  bool open() {
    fs_ = UniqueFd(static_cast<int>(::syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC)));
    return fs_.valid();
  }

  int set_string(const char* key, const std::string& value) {
    return fsconfig(fs_.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0 ? 0 : errno;
  }

  int set_path(const char* key, const std::string& path) {
    if (path.size() <= kMaxStringBytes) return set_string(key, path);
    UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return errno;
    // A magic link is a path to the same directory, and short.
    const std::string link = "/proc/self/fd/" + std::to_string(fd.get());
    held_.push_back(std::move(fd));
    return set_string(key, link);
  }

  int set_flag(const char* key) {
    return fsconfig(fs_.get(), FSCONFIG_SET_FLAG, key, nullptr, 0) == 0 ? 0 : errno;
  }

  Status mount_at(const std::string& target, bool read_only) {
    if (fsconfig(fs_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
      const int error = errno;
      return mount_error(error, "fsconfig", target, context_log(fs_.get()));
    }
    const unsigned attributes = read_only ? MOUNT_ATTR_RDONLY : 0;
    const UniqueFd mounted(
        static_cast<int>(::syscall(SYS_fsmount, fs_.get(), FSMOUNT_CLOEXEC, attributes)));
    if (!mounted.valid()) return mount_error(errno, "fsmount", target, context_log(fs_.get()));
    // A target that is a symlink is followed, as mount(2) and umount(2) do.
    if (::syscall(SYS_move_mount, mounted.get(), "", AT_FDCWD, target.c_str(),
                  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) != 0) {
      return mount_error(errno, "move_mount", target);
    }
    return {};
  }

  std::string log() const { return context_log(fs_.get()); }

 private:
  UniqueFd fs_;
  std::vector<UniqueFd> held_;
};

enum class Tried : uint8_t { kDone, kUnsupported };

// ENOSYS and EINVAL of the first `lowerdir+` mean a kernel without it.
Result<Tried> mount_by_context(const OverlayMount& options) {
  OverlayContext context;
  if (!context.open()) {
    if (errno == ENOSYS || errno == EPERM)
      return Tried::kUnsupported;  // EPERM: seccomp's no, or ours
    return mount_error(errno, "fsopen", options.target, "overlay");
  }
  for (size_t i = 0; i < options.lowers.size(); ++i) {
    const int error = context.set_path("lowerdir+", options.lowers[i]);
    if (error == EINVAL && i == 0) return Tried::kUnsupported;
    if (error != 0) return mount_error(error, "fsconfig", options.lowers[i], context.log());
  }
  if (!options.upper.empty()) {
    if (const int error = context.set_path("upperdir", options.upper)) {
      return mount_error(error, "fsconfig", options.upper, context.log());
    }
    if (const int error = context.set_path("workdir", options.work)) {
      return mount_error(error, "fsconfig", options.work, context.log());
    }
  }
  if (options.userxattr) {
    if (const int error = context.set_flag("userxattr")) {
      return mount_error(error, "fsconfig", options.target, "userxattr");
    }
  }
  for (const std::string& option : options.options) {
    const size_t equals = option.find('=');
    const int error =
        equals == std::string::npos
            ? context.set_flag(option.c_str())
            : context.set_string(option.substr(0, equals).c_str(), option.substr(equals + 1));
    if (error != 0) return mount_error(error, "fsconfig", options.target, option);
  }
  OCIUNPACK_TRY(context.mount_at(options.target, options.upper.empty()));
  return Tried::kDone;
}

// In the options of mount(2) `:` separates lower directories, `,` options, `\` escapes both.
std::string escape(std::string_view path) {
  std::string escaped;
  for (const char c : path) {
    if (c == ':' || c == ',' || c == '\\') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

// The longest directory that all of `paths` lie below.
std::string common_directory(const std::vector<std::string>& paths) {
  std::string_view common = paths.front();
  for (const std::string_view path : paths) {
    size_t same = 0;
    while (same < std::min(common.size(), path.size()) && common[same] == path[same]) ++same;
    common = common.substr(0, same);
  }
  const size_t slash = common.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? "/" : std::string(common.substr(0, slash));
}

// On a thread of its own, whose working directory is its own too.
Status mount_by_options(const OverlayMount& options) {
  const std::string base = common_directory(options.lowers);
  if (::unshare(CLONE_FS) != 0) return mount_error(errno, "unshare", options.target, "CLONE_FS");
  if (::chdir(base.c_str()) != 0) return mount_error(errno, "chdir", base);
  std::string data;
  for (const std::string& lower : options.lowers) {
    data += data.empty() ? "lowerdir=" : ":";
    data += escape(std::string_view(lower).substr(base == "/" ? 1 : base.size() + 1));
  }
  if (!options.upper.empty()) {
    data += ",upperdir=" + escape(options.upper) + ",workdir=" + escape(options.work);
  }
  if (options.userxattr) data += ",userxattr";
  for (const std::string& option : options.options) data += "," + option;
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  if (data.size() >= page) {
    return mount_error(E2BIG, "mount", options.target,
                       std::to_string(options.lowers.size()) + " layers need " +
                           std::to_string(data.size()) + " bytes of options, this kernel takes " +
                           std::to_string(page));
  }
  const unsigned long flags = options.upper.empty() ? kReadOnly : 0;
  if (::mount("overlay", options.target.c_str(), "overlay", flags, data.c_str()) != 0) {
    return mount_error(errno, "mount", options.target, "overlay");
  }
  return {};
}

}  // namespace

Status mount_overlay(const OverlayMount& options) {
  if (options.lowers.empty()) {
    return input_error(Code::ERR_INVALID_ARGUMENT, "mount", options.target, "no lower directory");
  }
  OCIUNPACK_ASSIGN(const Tried tried, mount_by_context(options));
  if (tried == Tried::kDone) return {};
  Status status;
  try {
    std::thread([&] { status = mount_by_options(options); }).join();
  } catch (const std::system_error& error) {
    return mount_error(error.code().value(), "pthread_create", options.target);
  }
  return status;
}

Status mount_bind(const std::string& source, const std::string& target, bool read_only) {
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
    return mount_error(errno, "mount", target, "bind of " + source);
  }
  if (!read_only) return {};
  // A bind mount ignores the other flags. mount_setattr(2) (Linux 5.12) adds this one to those that
  // are there; in a user namespace a remount fails that does not repeat the locked ones.
  struct mount_attr attributes {};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (::syscall(SYS_mount_setattr, AT_FDCWD, target.c_str(), 0, &attributes, sizeof attributes) ==
      0) {
    return {};
  }
  if (::mount(nullptr, target.c_str(), nullptr, MS_BIND | MS_REMOUNT | kReadOnly, nullptr) != 0) {
    const int error = errno;
    ::umount2(target.c_str(), kDetach | kNoFollow);
    return mount_error(error, "mount", target, "read-only remount");
  }
  return {};
}

Status mount_plain(const std::string& type, const std::string& source, const std::string& target,
                   const std::string& data, bool read_only) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  if (data.size() >= page) {
    return mount_error(E2BIG, "mount", target,
                       std::to_string(data.size()) + " bytes of options of " + type +
                           ", mount(2) takes " + std::to_string(page));
  }
  const unsigned long flags = read_only ? kReadOnly : 0;
  if (::mount(source.c_str(), target.c_str(), type.c_str(), flags, data.c_str()) != 0) {
    const int error_number = errno;
    Error error = mount_error(error_number, "mount", target, type);
    if (error_number == ENODEV) error.code = Code::ERR_UNSUPPORTED;
    return error;
  }
  return {};
}

Status unmount(const std::string& target, bool lazy) {
  if (::umount2(target.c_str(), kNoFollow | (lazy ? kDetach : 0)) != 0) {
    return mount_error(errno, "umount2", target);
  }
  return {};
}

}  // namespace ociunpack
