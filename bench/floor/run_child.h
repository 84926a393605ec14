// Runs a command and tells what it and all its descendants that were waited for have used.
#pragma once

namespace ociunpack::bench {

// Writes one line of JSON to descriptor `report`; returns the command's exit code, 128 + n after
// signal n. SIGINT and SIGTERM are passed on.
int run_child(int report, char** command);

}  // namespace ociunpack::bench
