// Values of xattrs that the kernel gives back otherwise than they were set, though they mean the
// same.
#pragma once

#include <cstdint>
#include <string_view>

namespace ociunpack {

// POSIX ACLs in the form of linux/posix_acl_xattr.h. chmod(2) and the mode a file is created with
// change the entries that the mode shows: these are not compared.
bool same_acl(std::string_view a, std::string_view b);
// An access ACL of just owner, group and others: the kernel keeps only its mode.
bool is_minimal_acl(std::string_view acl);
// The mode after `acl` was set on what had `mode`.
uint32_t mode_by_acl(std::string_view acl, uint32_t mode);

// File capabilities (linux/capability.h): the third version for root of this user namespace is
// given back as the second (security/commoncap.c).
bool same_capability(std::string_view a, std::string_view b);

}  // namespace ociunpack
