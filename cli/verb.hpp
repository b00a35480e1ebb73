// The verbs of `weir`, one file each.
#pragma once

#include <array>
#include <string_view>

namespace weir::cli {

/// `weir NAME ...`: `argv[0]` is the verb. Returns the exit code.
struct verb {
  std::string_view name;
  std::string_view summary;
  int (*main)(int argc, const char* const* argv);
};

int run_main(int argc, const char* const* argv);
int call_main(int argc, const char* const* argv);
int services_main(int argc, const char* const* argv);
int ping_main(int argc, const char* const* argv);
int stats_main(int argc, const char* const* argv);
int drain_main(int argc, const char* const* argv);
int submit_main(int argc, const char* const* argv);
int wait_main(int argc, const char* const* argv);
int result_main(int argc, const char* const* argv);
int cancel_main(int argc, const char* const* argv);
int dead_main(int argc, const char* const* argv);
int requeue_main(int argc, const char* const* argv);

/// In the order in which --help shows them.
inline constexpr std::array verbs{
    verb{"run", "run a command for each value, here and on other machines", run_main},
    verb{"call", "call a method and print its result", call_main},
    verb{"services", "list the methods that can be called", services_main},
    verb{"ping", "measure how long a node takes to answer", ping_main},
    verb{"stats", "show calls, queues and latencies by method", stats_main},
    verb{"drain", "let workers finish and leave", drain_main},
    verb{"submit", "hand a call to a gateway's spool and print its id", submit_main},
    verb{"wait", "wait for the outcome of a submitted call", wait_main},
    verb{"result", "print the outcome of a submitted call, if there is one", result_main},
    verb{"cancel", "cancel a submitted call", cancel_main},
    verb{"dead", "list submitted calls that have failed for good", dead_main},
    verb{"requeue", "give calls that have failed for good another chance", requeue_main},
};

}  // namespace weir::cli
