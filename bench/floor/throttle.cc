#include "floor/throttle.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "floor/clock.h"

namespace ociunpack::bench {
namespace {

constexpr size_t kPieceBytes = 256 << 10;
// Each page of a piece takes a slot of the pipe, and a page from the network may be filled in part.
constexpr int kPipeBytes = 1 << 20;
// What may be sent at once after a pause, in seconds of the rate: as much as we may come too late.
constexpr double kBurst = 0.1;

double now() { return clock_seconds(CLOCK_MONOTONIC); }

// Hands out bytes at a rate, and remembers when the first of a run were taken.
class Bucket {
 public:
  explicit Bucket(double rate) : rate_(rate), paid_until_(now()) {}

  // Takes bytes, perhaps too early: the time to wait for until the next are taken.
  double take(size_t bytes) {
    taken_ += bytes;
    if (first_ == 0) first_ = now();
    paid_until_ = std::max(paid_until_, now() - kBurst) + static_cast<double>(bytes) / rate_;
    return paid_until_;
  }
  uint64_t taken() const { return taken_; }
  // When the first bytes were taken since this was asked before, by CLOCK_MONOTONIC; 0 for none.
  double first() { return std::exchange(first_, 0); }

 private:
  const double rate_;
  double paid_until_;
  uint64_t taken_ = 0;
  double first_ = 0;
};

// One direction of a connection: a socket, a pipe, a socket.
class Flow {
 public:
  Flow(int from, int to, Bucket* bucket) : from_(from), to_(to), bucket_(bucket) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
    out_ = UniqueFd(ends[0]);
    in_ = UniqueFd(ends[1]);
    ::fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes);  // refused to users with many pipes: smaller pieces
  }

  // Moves what can be moved. False when the connection is broken.
  bool advance() {
    if (!out_.valid()) return false;
    while (!ended_) {
      if (held_ == 0) {
        if (wait_until_ > now()) return true;
        const ssize_t got = ::splice(from_, nullptr, in_.get(), nullptr, kPieceBytes, kFlags);
        if (got < 0) return errno == EAGAIN || errno == EINTR;
        if (got == 0) {
          ended_ = true;
          ::shutdown(to_, SHUT_WR);
          return true;
        }
        held_ = static_cast<size_t>(got);
      }
      const ssize_t put = ::splice(out_.get(), nullptr, to_, nullptr, held_, kFlags);
      if (put < 0) return errno == EAGAIN || errno == EINTR;
      held_ -= static_cast<size_t>(put);
      if (bucket_ != nullptr) wait_until_ = bucket_->take(static_cast<size_t>(put));
    }
    return true;
  }

  bool ended() const { return ended_; }
  // What it waits for: room, bytes, or a time.
  bool wants_room() const { return !ended_ && held_ > 0; }
  bool wants_bytes(double at) const { return !ended_ && held_ == 0 && wait_until_ <= at; }
  double wait_until() const { return ended_ || held_ > 0 ? 0 : wait_until_; }

 private:
  static constexpr unsigned kFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
  const int from_;
  const int to_;
  Bucket* const bucket_;
  UniqueFd in_;
  UniqueFd out_;
  size_t held_ = 0;  // in the pipe
  double wait_until_ = 0;
  bool ended_ = false;
};

struct Connection {
  Connection(UniqueFd accepted, UniqueFd connected, Bucket* bucket)
      : client(std::move(accepted)),
        server(std::move(connected)),
        up(client.get(), server.get(), nullptr),
        down(server.get(), client.get(), bucket) {}
  UniqueFd client;
  UniqueFd server;
  Flow up;
  Flow down;
};

UniqueFd connect_to(const addrinfo* addresses) {
  for (const addrinfo* each = addresses; each != nullptr; each = each->ai_next) {
    UniqueFd fd(::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd.valid() && ::connect(fd.get(), each->ai_addr, each->ai_addrlen) == 0) return fd;
  }
  return UniqueFd();
}

// Pieces are sent as they are; splice(2) blocks with a socket that blocks.
void prepare(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
}

UniqueFd listen_locally() {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd.get(), generic, length) != 0 || ::listen(fd.get(), SOMAXCONN) != 0 ||
      ::getsockname(fd.get(), generic, &length) != 0) {
    return UniqueFd();
  }
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return fd;
}

// A descriptor of which nothing is wanted is not looked at: its end would be reported all the time.
pollfd watch(int fd, bool bytes, bool room) {
  const int events = (bytes ? POLLIN : 0) | (room ? POLLOUT : 0);
  return {events == 0 ? -1 : fd, static_cast<short>(events), 0};
}

timespec until(double time) {
  const double left = std::max(time - now(), 0.0);
  const auto seconds = static_cast<time_t>(left);
  return {seconds, static_cast<long>((left - static_cast<double>(seconds)) * 1e9)};
}

// Answers each line of stdin with the time of the first byte. False at its end.
bool answer(Bucket* bucket) {
  std::array<char, 64> asked;
  const ssize_t got = ::read(STDIN_FILENO, asked.data(), asked.size());
  if (got <= 0) return false;
  for (ssize_t lines = std::count(asked.begin(), asked.begin() + got, '\n'); lines > 0; lines--) {
    std::printf("%.9f\n", bucket->first());
  }
  std::fflush(stdout);
  return true;
}

}  // namespace

int run_throttle(const char* host, const char* port, double rate) {
  std::signal(SIGPIPE, SIG_IGN);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host, port, &hints, &found); error != 0) {
    std::fprintf(stderr, "%s: %s\n", host, ::gai_strerror(error));
    return 1;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  const UniqueFd listener = listen_locally();
  if (!listener.valid()) {
    std::perror("listen");
    return 1;
  }
  Bucket bucket(rate);
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<pollfd> watched;
  for (;;) {
    watched = {watch(STDIN_FILENO, true, false), watch(listener.get(), true, false)};
    const double at = now();
    double next = 0;  // the first time that somebody waits for
    for (const auto& each : connections) {
      const Flow& up = each->up;
      const Flow& down = each->down;
      watched.push_back(watch(each->client.get(), up.wants_bytes(at), down.wants_room()));
      watched.push_back(watch(each->server.get(), down.wants_bytes(at), up.wants_room()));
      const double time = down.wait_until();
      if (time > at) next = next == 0 ? time : std::min(next, time);
    }
    const timespec timeout = until(next);
    if (::ppoll(watched.data(), watched.size(), next == 0 ? nullptr : &timeout, nullptr) < 0 &&
        errno != EINTR) {
      std::perror("ppoll");
      return 1;
    }
    if (watched[0].revents != 0 && !answer(&bucket)) break;
    if (watched[1].revents != 0) {
      UniqueFd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      UniqueFd server = client.valid() ? connect_to(addresses.get()) : UniqueFd();
      if (server.valid()) {
        prepare(client.get());
        prepare(server.get());
        connections.push_back(
            std::make_unique<Connection>(std::move(client), std::move(server), &bucket));
      }
    }
    std::erase_if(connections, [](const auto& each) {
      const bool whole = each->up.advance() && each->down.advance();
      return !whole || (each->up.ended() && each->down.ended());
    });
  }
  std::printf("%llu\n", static_cast<unsigned long long>(bucket.taken()));
  return 0;
}

}  // namespace ociunpack::bench
