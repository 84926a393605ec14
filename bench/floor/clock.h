// Times of one piece of work: by the clock, and of this thread's processor.
#pragma once

#include <ctime>

namespace ociunpack::bench {

struct Seconds {
  double wall = 0;
  double cpu = 0;
};

inline double clock_seconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// Adds the time of its scope.
class Stopwatch {
 public:
  explicit Stopwatch(Seconds* total)
      : total_(total),
        wall_(clock_seconds(CLOCK_MONOTONIC)),
        cpu_(clock_seconds(CLOCK_THREAD_CPUTIME_ID)) {}
  ~Stopwatch() {
    total_->cpu += clock_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_;
    total_->wall += clock_seconds(CLOCK_MONOTONIC) - wall_;
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  Seconds* total_;
  double wall_;
  double cpu_;
};

}  // namespace ociunpack::bench
