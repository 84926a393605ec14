// Which kinds of xattrs can be set, and are there when they are read back: some file systems say
// yes and keep nothing.
#include <fcntl.h>
#include <sys/xattr.h>

#include <string_view>

#include "base/unique_fd.h"
#include "host/probe_scratch.h"

namespace ociunpack {
namespace {

using namespace std::string_view_literals;

// vfs_cap_data, revision 2 (linux/capability.h): effective, CAP_NET_RAW permitted, as ping has it.
constexpr std::string_view kCapability = "\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sv;

// 0, or the errno of the call that failed; ENODATA where the value was not kept.
int keep(const std::string& path, const char* name, std::string_view value, std::string* call) {
  *call = std::string("setxattr(") + name + ")";
  if (::setxattr(path.c_str(), name, value.data(), value.size(), 0) != 0) return errno;
  *call = std::string("getxattr(") + name + ")";
  char found[64];
  const ssize_t length = ::getxattr(path.c_str(), name, found, sizeof found);
  if (length < 0) return errno;
  return std::string_view(found, static_cast<size_t>(length)) == value ? 0 : ENODATA;
}

struct Attribute {
  const char* name;
  const char* path;
  std::string_view value;
};

// All must be kept. One that was set without an error and is not there is a loss that nobody
// notices.
void kept(ProbeScratch& scratch, const char* id, std::initializer_list<Attribute> attributes) {
  std::string names;
  for (const auto& [name, path, value] : attributes) {
    std::string call;
    if (const int error = keep(scratch.at(path), name, value, &call); error != 0) {
      const bool silent = call.starts_with("getxattr");
      scratch.add(id, silent ? "fail" : "warn", silent ? "not kept" : "no",
                  call + ": " + errno_name(error) + (silent ? ", though it could be set" : ""));
      return;
    }
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  scratch.add(id, "ok", "yes", "set and read back: " + names);
}

}  // namespace

void probe_xattrs(ProbeScratch& scratch) {
  scratch.make({"xattr-directory"});
  const UniqueFd file(
      ::open(scratch.at("xattr-file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  // The real name: an overlayfs below may refuse it, and no other of its kind.
  kept(scratch, "xattr-trusted",
       {{"trusted.overlay.opaque", "xattr-directory", "y"},
        {"trusted.oci-unpack", "xattr-file", "y"}});
  kept(scratch, "xattr-user",
       {{"user.overlay.opaque", "xattr-directory", "y"}, {"user.oci-unpack", "xattr-file", "y"}});
  kept(scratch, "xattr-capability", {{"security.capability", "xattr-file", kCapability}});
}

}  // namespace ociunpack
