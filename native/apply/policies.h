// What is decided by the caller of an unpack (SEMANTICS.md); the defaults are that page's.
#pragma once

#include <cstdint>
#include <vector>

namespace ociunpack {

enum class OverlayXattrs : uint8_t { kEscape, kStrip, kError };
enum class XattrMode : uint8_t { kStrict, kBestEffort };
enum class DeviceMode : uint8_t { kCreate, kSkip, kError };
enum class Ownership : uint8_t { kApply, kMap, kIgnore };

// `size` ids from `container_id` on are `host_id` and up on disk.
struct IdMap {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
};

struct Policies {
  OverlayXattrs overlay_xattrs = OverlayXattrs::kEscape;
  XattrMode xattrs = XattrMode::kStrict;
  DeviceMode devices = DeviceMode::kCreate;
  Ownership ownership = Ownership::kApply;
  std::vector<IdMap> uid_map;  // of Ownership::kMap
  std::vector<IdMap> gid_map;
};

}  // namespace ociunpack
