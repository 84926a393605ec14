// Mounting: overlayfs over any number of layers with paths of any length, bind mounts, and taking
// them away. All calls block; run them on a thread of your own.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace ociunpack {

struct OverlayMount {
  std::vector<std::string> lowers;   // absolute host paths, the top layer first
  std::string upper;                 // empty: a read-only mount
  std::string work;                  // with `upper`: an empty directory on its file system
  std::string target;                // an existing directory
  bool userxattr = false;            // read user.overlay.* instead of trusted.overlay.*
  std::vector<std::string> options;  // further ones, `index=off` or `volatile`
};

// Neither the number of layers nor the length of their paths is bounded by the one page that
// mount(2) takes for its options: by fsconfig(2) with one `lowerdir+` a layer (Linux 6.8 and
// later), else by mount(2) from the layers' common parent directory, with paths relative to it.
// ERR_MOUNT says what the kernel said against it.
Status mount_overlay(const OverlayMount& options);

// `read_only` takes a second step (mount(2), "Remounting"); when that fails nothing stays mounted.
Status mount_bind(const std::string& source, const std::string& target, bool read_only);

// mount(2) as it is, for file systems that have no function of their own here (aufs). `data` are
// the file system's options. ERR_UNSUPPORTED where the kernel has no such file system.
Status mount_plain(const std::string& type, const std::string& source, const std::string& target,
                   const std::string& data, bool read_only);

// The topmost mount at `target`. ERR_MOUNT with EINVAL where nothing is mounted; `lazy` as
// MNT_DETACH in umount(2).
Status unmount(const std::string& target, bool lazy);

}  // namespace ociunpack
