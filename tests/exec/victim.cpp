// A worker without a network, for the reaper's tests: runs a script in two slots until somebody
// kills it, or its standard input ends.
#include "exec/command.hpp"
#include "exec/pool.hpp"

#include <unistd.h>

#include <cstdio>
#include <utility>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 2) return 64;
  weir::start_reaper();
  weir::command_options options;
  options.mode = weir::command_mode::shell;
  options.argv = {argv[1]};
  weir::exec::pool pool(2, weir::exec::command_runner_factory(options), [] {});
  std::vector<weir::exec::work> tasks;
  for (int i = 2; i < argc; ++i)
    tasks.push_back({{}, static_cast<std::uint64_t>(i), 1, weir::proto::pack::of(argv[i]), {}});
  pool.give(std::move(tasks));
  char byte = 0;
  return ::read(0, &byte, 1) < 0 ? 1 : 0;
}
