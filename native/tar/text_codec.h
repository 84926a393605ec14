// The two encodings of LIBARCHIVE.xattr records (libarchive's archive_write_set_format_pax.c writes
// them): base64 values without padding, names with %XX. Both decode in place.
#pragma once

#include <span>

namespace ociunpack {

// Decodes base64 of the standard alphabet, with or without the trailing '='. Shortens *text to the
// decoded bytes; false (and *text is spoilt) when it is not base64.
bool decode_base64(std::span<char>* text);

// Replaces each %XX. Shortens *text; false when a '%' has no two hex digits after it.
bool decode_url(std::span<char>* text);

}  // namespace ociunpack
