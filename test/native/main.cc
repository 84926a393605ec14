// Runs the registered tests: all of them, or those whose `file:name` contains argv[1]. Prints the
// failures, then `N passed, N failed`; exits 1 when a test failed or the filter matched none.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <vector>

#include "check.h"

namespace ociunpack::check {
namespace {

// Constant-initialised, so that TEST in any translation unit may add to it before main.
TestCase* first_test = nullptr;

std::mutex output_mutex;
std::atomic<int> failures{0};
std::atomic<bool> skipped{false};

// The part of __FILE__ below test/native/, the same from whichever directory it was compiled.
const char* short_file(const char* file) {
  const char* found = std::strstr(file, "test/native/");
  return found ? found + std::strlen("test/native/") : file;
}

std::string full_name(const TestCase& test) {
  return std::string(short_file(test.file)) + ":" + test.name;
}

}  // namespace

bool add(TestCase* test) {
  test->next = first_test;
  first_test = test;
  return true;
}

void fail(const char* file, int line, const std::string& what) {
  const std::lock_guard lock(output_mutex);
  std::printf("  %s:%d: %s\n", short_file(file), line, what.c_str());
  failures++;
}

void skip(std::string_view reason) {
  const std::lock_guard lock(output_mutex);
  std::printf("  skipped: %.*s\n", static_cast<int>(reason.size()), reason.data());
  skipped = true;
}

std::string quote(std::string_view bytes) {
  std::string text = "\"";
  for (const char c : bytes) {
    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
      text += c;
    } else {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(c));
      text += escape;
    }
  }
  return text + "\"";
}

int run(const char* filter) {
  std::vector<const TestCase*> tests;
  for (const TestCase* test = first_test; test; test = test->next) {
    if (full_name(*test).find(filter) != std::string::npos) tests.push_back(test);
  }
  // Registered in link order, backwards: sort for a run order that does not depend on it.
  std::sort(tests.begin(), tests.end(),
            [](auto* a, auto* b) { return full_name(*a) < full_name(*b); });
  int passed = 0;
  int failed = 0;
  int skips = 0;
  for (const TestCase* test : tests) {
    failures = 0;
    skipped = false;
    test->run();
    if (failures > 0) {
      failed++;
      std::printf("FAILED %s\n", full_name(*test).c_str());
    } else if (skipped) {
      skips++;
      std::printf("skipped %s\n", full_name(*test).c_str());
    } else {
      passed++;
    }
    std::fflush(stdout);
  }
  if (skips > 0) std::printf("%d skipped\n", skips);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed > 0 || tests.empty() ? 1 : 0;
}

}  // namespace ociunpack::check

int main(int argc, char** argv) { return ociunpack::check::run(argc > 1 ? argv[1] : ""); }
