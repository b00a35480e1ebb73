// A user's program, built against an installed weir or with weir inside: a ventilator and a
// worker in one process, and every public header.
#include <weir/call_settings.hpp>
#include <weir/client.hpp>
#include <weir/codec.hpp>
#include <weir/command.hpp>
#include <weir/endpoint.hpp>
#include <weir/error.hpp>
#include <weir/expose.hpp>
#include <weir/gateway.hpp>
#include <weir/generator.hpp>
#include <weir/local_slots.hpp>
#include <weir/memory.hpp>
#include <weir/method.hpp>
#include <weir/msgpack_cursor.hpp>
#include <weir/node.hpp>
#include <weir/outcome.hpp>
#include <weir/pending.hpp>
#include <weir/plain.hpp>
#include <weir/raw_client.hpp>
#include <weir/results.hpp>
#include <weir/rpc_error.hpp>
#include <weir/sink.hpp>
#include <weir/status.hpp>
#include <weir/stream.hpp>
#include <weir/submit.hpp>
#include <weir/task.hpp>
#include <weir/ventilator.hpp>
#include <weir/version.hpp>
#include <weir/worker.hpp>

#include <iostream>
#include <string>
#include <thread>

int main(int argc, char** argv) {
  if (argc != 2) return 64;
  const std::string tasks = std::string("ipc://") + argv[1] + "/tasks";
  int sum = 0;
  weir::ventilator v{{{.bind = {tasks}}},
                     [&](const weir::result& r) { sum += std::stoi(std::string(r.payload)); }};
  std::thread worker([&] {
    weir::worker w{{{.connect = {tasks}}, 2}, [](weir::task& t) {
                     const int n = std::stoi(std::string(t.payload()));
                     return std::to_string(n * n);
                   }};
    w.run();
  });
  for (int n = 1; n <= 10; ++n) v.submit(std::to_string(n));
  const bool complete = v.wait();
  worker.join();
  std::cout << "weir " << WEIR_VERSION << ": " << sum << '\n';
  return complete && sum == 385 ? 0 : 1;
}
