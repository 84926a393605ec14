// Trees are removed whole also where readings skip names while others go, in readings whose number
// does not depend on how many directories there are.
#include "apply/remove.h"

#include <dirent.h>
#include <dlfcn.h>

#include <filesystem>
#include <string>

#include "../check.h"
#include "scratch.h"

namespace {

bool counting = false;
int names_read = 0;  // the ends of directories among them
int names_to_skip = 0;

}  // namespace

// In place of the C library's, for the whole test program.
extern "C" dirent* readdir(DIR* stream) {
  static const auto read = reinterpret_cast<dirent* (*)(DIR*)>(::dlsym(RTLD_NEXT, "readdir"));
  dirent* entry = read(stream);
  if (!counting) return entry;
  names_read++;
  static bool removed = false;  // what the call before this one returned
  if (entry != nullptr && entry->d_name[0] != '.' && removed && names_to_skip > 0) {
    names_to_skip--;
    entry = read(stream);
  }
  removed = entry != nullptr && entry->d_name[0] != '.';
  return entry;
}

namespace ociunpack {
namespace {

using check::Scratch;

// Directories with a file and an empty directory in each.
int names_read_for(int directories, int skipped) {
  Scratch scratch;
  scratch.directory("tree");
  for (int i = 0; i < directories; i++) {
    const std::string name = "tree/" + std::to_string(i);
    scratch.directory(name);
    scratch.put_file(name + "/file", "");
    scratch.directory(name + "/empty");
  }
  names_read = 0;
  names_to_skip = skipped;
  counting = true;
  const Status status = remove_tree(*scratch.root, "tree");
  counting = false;
  CHECK_OK(status);
  CHECK(!std::filesystem::exists(scratch.host("tree")));
  CHECK_EQ(names_to_skip, 0);
  return names_read;
}

TEST(a_removal_reads_each_name_once) {
  // Each directory: itself, its two names, and ".", ".." and the end of two readings.
  CHECK_EQ(names_read_for(100, 0), 100 * 9 + 6);
  CHECK_EQ(names_read_for(200, 0), 200 * 9 + 6);
}

TEST(a_removal_finds_names_that_a_reading_skipped) {
  for (const int skipped : {1, 2, 5, 15}) names_read_for(20, skipped);
}

}  // namespace
}  // namespace ociunpack
