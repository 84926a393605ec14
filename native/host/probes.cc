#include "host/probes.h"

#include <stdlib.h>

#include <cerrno>
#include <filesystem>

#include "host/probe_scratch.h"

namespace ociunpack {

Result<std::vector<Probe>> probe_host(const std::string& directory) {
  std::string path = directory + "/.oci-unpack-probe-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return system_error(errno, "mkdtemp", directory);
  ProbeScratch scratch(path);
  probe_files(scratch);
  probe_xattrs(scratch);
  probe_overlay(scratch);
  probe_overlay_defaults(scratch);
  probe_opaque_copy_up(scratch);
  probe_mount_api(scratch);
  probe_erofs(scratch);
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
  return scratch.take();
}

}  // namespace ociunpack
