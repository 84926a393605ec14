// POSIX ACLs: the text form that tars carry (SCHILY.acl.access and .default, star(1)) to the binary
// one of the system.posix_acl_* xattrs (linux/posix_acl_xattr.h).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ociunpack {

// "user::rwx,user:lisa:r-x:1001,group::r-x,mask::r-x,other::r--"; entries are separated by commas
// or newlines. A named user or group needs its number: as a fourth field, or instead of the name.
// ERR_INVALID_ENTRY for anything else; `path` is for the message.
Result<std::string> encode_posix_acl(std::string_view text, const std::string& path);

}  // namespace ociunpack
