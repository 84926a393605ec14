// A network of a given speed on the loopback interface: passes bytes on to a server, and what comes
// back no faster than that, all connections together. What it takes of the processor would count
// against what is measured through it: pieces go from socket to socket through a pipe, which moves
// pages and copies nothing (splice(2)).
#pragma once

namespace ociunpack::bench {

// Listens on a port of 127.0.0.1, which it prints to stdout. A line on stdin asks when the first
// byte came back since the line before: it prints the seconds of CLOCK_MONOTONIC, 0 for none. Ends
// when stdin does, and prints how many bytes have come back. `rate` is in bytes per second. Returns
// the exit code.
int run_throttle(const char* host, const char* port, double rate);

}  // namespace ociunpack::bench
