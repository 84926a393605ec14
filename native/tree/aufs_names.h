// The names by which layers say what is deleted, and by which aufs keeps it: aufs(5), and the
// image-spec's layer.md, "Whiteouts".
#pragma once

#include <string_view>

namespace ociunpack {

inline constexpr std::string_view kWhiteoutPrefix = ".wh.";
// Of aufs' own: never a whiteout of a name that begins with it.
inline constexpr std::string_view kAufsPrefix = ".wh..wh.";
inline constexpr std::string_view kOpaqueName = ".wh..wh..opq";
inline constexpr std::string_view kPlinkName = ".wh..wh.plnk";

}  // namespace ociunpack
