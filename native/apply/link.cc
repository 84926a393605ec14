#include "apply/link.h"

#include "apply/name.h"
#include "apply/root_dir.h"
#include "base/sys.h"

namespace ociunpack {
namespace {

Status link_at(int from, const char* from_name, const DirHandle& to, std::string_view to_name,
               const std::string& from_path) {
  if (sys::linkat(from, from_name, to.fd.get(), CName(to_name).c_str()) == 0) return {};
  return system_error(errno, "linkat", path_in(to, to_name), from_path);
}

}  // namespace

Status make_link(const ApplyContext&, const DirHandle& from, std::string_view from_name,
                 const DirHandle& to, std::string_view to_name) {
  return link_at(from.fd.get(), CName(from_name).c_str(), to, to_name, path_in(from, from_name));
}

Status link_lower(const ApplyContext&, int root_fd, const std::string& path, const DirHandle& to,
                  std::string_view name) {
  OCIUNPACK_ASSIGN(const RootDir root, RootDir::from_fd(root_fd));
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash);
  const std::string base = slash == std::string::npos ? path : path.substr(slash + 1);
  OCIUNPACK_ASSIGN(const UniqueFd directory, root.open_directory(parent));
  return link_at(directory.get(), base.c_str(), to, name, path);
}

}  // namespace ociunpack
