// The native part of the bench: `floor DEST PATH OFFSET LENGTH [PATH OFFSET LENGTH]...` measures
// the floor of an image and prints it as JSON; `run -- COMMAND...` runs a command and writes what
// it used as JSON to descriptor 3; `throttle HOST PORT RATE` is a network of that speed.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "floor/floor.h"
#include "floor/micro.h"
#include "floor/run_child.h"
#include "floor/throttle.h"

namespace ociunpack::bench {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) {
      result += '?';  // a message for people
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string timed(const char* name, const Seconds& time) {
  char text[128];
  std::snprintf(text, sizeof text, "\"%s\":{\"wall\":%.6f,\"cpu\":%.6f},", name, time.wall,
                time.cpu);
  return text;
}

void print(const LayerFloor& layer, bool last) {
  const std::string times = timed("inflate", layer.inflate) + timed("hashBlob", layer.hash_blob) +
                            timed("hashTar", layer.hash_tar) + timed("create", layer.create);
  std::printf(
      "{%s\"decoder\":%s,\"digest\":\"%s\",\"diffID\":\"%s\",\"tarBytes\":%llu,\"files\":%llu,"
      "\"items\":%llu,\"failed\":%llu,\"firstFailure\":%s}%s\n",
      times.c_str(), quoted(layer.decoder).c_str(), layer.digest.c_str(), layer.diff_id.c_str(),
      static_cast<unsigned long long>(layer.tar_bytes),
      static_cast<unsigned long long>(layer.files), static_cast<unsigned long long>(layer.items),
      static_cast<unsigned long long>(layer.failed), quoted(layer.first_failure).c_str(),
      last ? "" : ",");
}

int usage() {
  std::fprintf(stderr,
               "usage: floor DEST PATH OFFSET LENGTH [PATH OFFSET LENGTH]...\n"
               "       micro DIR RUNS PATH OFFSET LENGTH\n"
               "       run -- COMMAND [ARGUMENT]...\n"
               "       throttle HOST PORT RATE\n");
  return 2;
}

int run_floor(int count, char** arguments) {
  std::vector<BlobWindow> layers;
  for (int i = 1; i + 2 < count; i += 3) {
    layers.push_back({arguments[i], std::strtoull(arguments[i + 1], nullptr, 10),
                      std::strtoull(arguments[i + 2], nullptr, 10)});
  }
  const auto result = measure_floor(arguments[0], layers);
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.error().message().c_str());
    return 1;
  }
  std::printf("[");
  for (size_t i = 0; i < result.value().size(); i++) {
    print(result.value()[i], i + 1 == result.value().size());
  }
  std::printf("]\n");
  return 0;
}

int run_micro(char** arguments) {
  const BlobWindow layer{arguments[2], std::strtoull(arguments[3], nullptr, 10),
                         std::strtoull(arguments[4], nullptr, 10)};
  const auto runs = static_cast<unsigned>(std::strtoul(arguments[1], nullptr, 10));
  const auto result = measure_micro(arguments[0], layer, runs);
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.error().message().c_str());
    return 1;
  }
  const char* separator = "[";
  for (const Micro& micro : result.value()) {
    std::printf("%s{\"name\":%s,\"unit\":\"%s\",\"amount\":%llu,\"seconds\":", separator,
                quoted(micro.name).c_str(), micro.unit.c_str(),
                static_cast<unsigned long long>(micro.amount));
    const char* comma = "[";
    for (const double seconds : micro.seconds) {
      std::printf("%s%.6f", comma, seconds);
      comma = ",";
    }
    std::printf("]}");
    separator = ",\n";
  }
  std::printf("]\n");
  return 0;
}

int run(int count, char** arguments) {
  if (count >= 4 && std::strcmp(arguments[1], "run") == 0 && std::strcmp(arguments[2], "--") == 0) {
    return run_child(3, arguments + 3);
  }
  if (count >= 3 && std::strcmp(arguments[1], "floor") == 0 && count % 3 == 0) {
    return run_floor(count - 2, arguments + 2);
  }
  if (count == 7 && std::strcmp(arguments[1], "micro") == 0) return run_micro(arguments + 2);
  if (count == 5 && std::strcmp(arguments[1], "throttle") == 0) {
    const double rate = std::strtod(arguments[4], nullptr);
    if (rate > 0) return run_throttle(arguments[2], arguments[3], rate);
  }
  return usage();
}

}  // namespace
}  // namespace ociunpack::bench

int main(int count, char** arguments) { return ociunpack::bench::run(count, arguments); }
