#include "floor/run_child.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "floor/clock.h"

namespace ociunpack::bench {
namespace {

volatile pid_t child = 0;

void pass_on(int signal) {
  if (child > 0) ::kill(child, signal);
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

int run_child(int report, char** command) {
  ::fcntl(report, F_SETFD, FD_CLOEXEC);
  struct sigaction action {};
  action.sa_handler = pass_on;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);

  const double started = clock_seconds(CLOCK_MONOTONIC);
  const pid_t pid = ::fork();
  if (pid < 0) {
    std::perror("fork");
    return 126;
  }
  if (pid == 0) {
    ::execvp(command[0], command);
    std::fprintf(stderr, "%s: %s\n", command[0], std::strerror(errno));
    ::_exit(127);
  }
  child = pid;
  int status = 0;
  rusage usage{};
  while (::wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  child = 0;
  const double wall = clock_seconds(CLOCK_MONOTONIC) - started;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  // getrusage(2): of a child with descendants, the times are sums, ru_maxrss is the largest.
  ::dprintf(report, "{\"wall\":%.6f,\"user\":%.6f,\"system\":%.6f,\"maxRss\":%llu,\"code\":%d}\n",
            wall, seconds(usage.ru_utime), seconds(usage.ru_stime),
            static_cast<unsigned long long>(usage.ru_maxrss) * 1024, code);
  return code;
}

}  // namespace ociunpack::bench
