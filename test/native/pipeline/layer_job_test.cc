#include "pipeline/layer_job.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <future>

#include "../apply/scratch.h"
#include "../check.h"
#include "../tar/tar_builder.h"

namespace ociunpack {
namespace {

size_t open_descriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    count += entry.path().empty() ? 0 : 1;
  }
  return count;
}

// What was open of a layer is closed when it has settled, not only when the job is closed, which
// may be at the end of a call with more layers than there are descriptors.
TEST(a_settled_layer_keeps_nothing_open) {
  check::Scratch scratch;
  std::filesystem::create_directory(scratch.host("layer"));
  std::string tar;
  for (int i = 0; i < 40; ++i) {
    const std::string name = "d" + std::to_string(i);
    tar += tar_test::entry({.name = name + "/", .type = '5', .uid = ::getuid(), .gid = ::getgid()});
    tar += tar_test::entry({.name = name + "/x", .uid = ::getuid(), .gid = ::getgid()}, "x");
  }
  tar += tar_test::zeros(2);
  const UniqueFd blob(::memfd_create("layer", MFD_CLOEXEC));
  CHECK_EQ(::write(blob.get(), tar.data(), tar.size()), static_cast<ssize_t>(tar.size()));
  LayerOptions options;
  options.source = FdSource{blob.get(), 0, -1};
  options.directory = scratch.host("layer");
  options.group = Scheduler::instance().make_group(1).value();
  const size_t before = open_descriptors();
  std::promise<Result<LayerResult>> done;
  const auto job = LayerJob::start(
      options, [&done](Result<LayerResult> result) { done.set_value(std::move(result)); });
  REQUIRE_OK(done.get_future().get());
  CHECK(open_descriptors() > before + 40);
  std::promise<std::pair<Result<SettleResult>, size_t>> settled;
  job->settle(nullptr, {}, [&settled](Result<SettleResult> result) {
    settled.set_value({std::move(result), open_descriptors()});
  });
  const auto [result, descriptors] = settled.get_future().get();
  REQUIRE_OK(result);
  CHECK_EQ(descriptors, before);
  job->close();
  CHECK_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace ociunpack
