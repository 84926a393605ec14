// The forms in which a layer's whiteouts and opaque directories are kept on disk.
#pragma once

#include <cstdint>

namespace ociunpack {

enum class Format : uint8_t {
  kOverlay,           // overlayfs: devices 0:0, trusted.overlay.*
  kOverlayUserxattr,  // overlayfs mounted with `userxattr`: devices 0:0, user.overlay.*
  kAufs,              // `.wh.` files, `.wh..wh..opq`
  kFlat,              // none: whiteouts are carried out
};

}  // namespace ociunpack
