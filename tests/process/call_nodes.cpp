// A worker and a caller of methods, for the tests of what breaks while calls are under way.
//
//   weir_call_nodes serve --from EP... [--bind EP] [--direct EP] --marks FILE
//   weir_call_nodes call --connect EP... [--clients N] [--in-flight N] [--rate N]
//
// The caller reads lines `METHOD ID ARGUMENT`, makes a call of each, and writes a line
// `ID CODE MS RESULT` as each ends, MS since the first was made.
//
//   nap ID MS     sleeps                      idempotent
//   once ID MS    sleeps                      not idempotent
//   hold ID FILE  until there is such a file  idempotent
//   keep ID FILE  until there is such a file  not idempotent
//   large ID N    N bytes                     idempotent
//   count ID N    a stream of 0 to N - 1
//
// Each run of once, hold and keep adds the line ID to the file of marks; what is cancelled
// while it is held, `cancelled ID`.
#include <weir/client.hpp>
#include <weir/expose.hpp>
#include <weir/worker.hpp>

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using milliseconds = std::chrono::milliseconds;
using steady = std::chrono::steady_clock;

weir::worker* serving = nullptr;

void say(bool, const std::string& text) { std::cerr << text + '\n'; }

/// Lines that are there even if the process is killed right after.
class marks {
 public:
  explicit marks(const std::string& file)
      : fd_(open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)) {}
  void add(const std::string& text) const {
    const std::string line = text + '\n';
    if (write(fd_, line.data(), line.size()) < 0) std::perror("weir_call_nodes: marks");
  }

 private:
  int fd_;
};

std::string held(const marks& all, weir::call_context& call, const std::string& id,
                 const std::string& file) {
  all.add(id);
  while (!std::filesystem::exists(file)) {
    if (call.cancelled()) {
      all.add("cancelled " + id);
      throw weir::rpc_error(weir::status::cancelled, "nobody waits any more");
    }
    std::this_thread::sleep_for(5ms);
  }
  return id;
}

int serve(weir::worker_options options, const std::string& file) {
  options.on_notice = say;
  options.connect_timeout = 0ms;
  const marks all(file);
  weir::worker node(std::move(options));
  node.expose("nap",
              [](std::string id, int ms) {
                std::this_thread::sleep_for(milliseconds(ms));
                return id;
              },
              {.idempotent = true});
  node.expose("once", [&all](std::string id, int ms) {
    all.add(id);
    std::this_thread::sleep_for(milliseconds(ms));
    return id;
  });
  const auto hold = std::bind_front(held, std::cref(all));
  node.expose("hold",
              [hold](weir::call_context& call, std::string id, std::string until) {
                return hold(call, id, until);
              },
              {.idempotent = true});
  node.expose("keep", [hold](weir::call_context& call, std::string id, std::string until) {
    return hold(call, id, until);
  });
  node.expose("large", [](std::string, std::size_t bytes) { return std::string(bytes, 'x'); },
              {.idempotent = true});
  node.expose("count", [](std::string, int to) -> weir::generator<int> {
    for (int i = 0; i < to; ++i) co_yield i;
  });
  serving = &node;
  std::signal(SIGTERM, [](int) { serving->stop(); });
  node.run();
  return 0;
}

struct load {
  unsigned clients = 1;
  std::uint64_t in_flight = 64;  // of all clients
  std::uint64_t rate = 0;        // calls a second, however many are in flight; 0: as they end
};

/// Makes the calls that it reads, and writes what became of each.
class caller {
 public:
  caller(const weir::client_options& options, weir::call_settings settings, const load& what)
      : settings_(std::move(settings)), what_(what) {
    for (unsigned i = 0; i < what.clients; ++i)
      clients_.push_back(std::make_unique<weir::client>(options));
  }

  int run() {
    for (const auto& each : clients_)
      if (!each->wait_connected(60s)) return 69;
    start_ = steady::now();
    std::uint64_t made = 0;
    for (std::string line; std::getline(std::cin, line); ++made) {
      await_turn(made);
      make(clients_[made % clients_.size()]->with(settings_), line);
    }
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return open_ == 0; });
    return 0;
  }

 private:
  void await_turn(std::uint64_t made) {
    if (what_.rate > 0)
      std::this_thread::sleep_until(start_ +
                                    std::chrono::microseconds(1'000'000 * made / what_.rate));
    std::unique_lock lock(mutex_);
    if (what_.rate == 0) ended_.wait(lock, [this] { return open_ < what_.in_flight; });
    ++open_;
  }

  void make(const weir::client_view& by, const std::string& line) {
    std::istringstream words(line);
    std::string method, id, argument;
    words >> method >> id >> argument;
    if (method == "hold" || method == "keep") {
      by.start<std::string>(method, id, argument).then(ending(id));
    } else {
      by.start<std::string>(method, id, std::stoi(argument)).then(ending(id));
    }
  }

  std::function<void(weir::outcome<std::string>)> ending(const std::string& id) {
    return [this, id](const weir::outcome<std::string>& what) {
      const auto ms = std::chrono::duration_cast<milliseconds>(steady::now() - start_).count();
      std::string line =
          id + ' ' + std::string(to_string(what.code())) + ' ' + std::to_string(ms) + ' ';
      if (!what.ok())
        line += what.error().what() + (" [" + what.error().path() + "]");
      else
        line += what->size() > 100 ? std::to_string(what->size()) + " bytes" : *what;
      const std::lock_guard lock(mutex_);
      std::cout << line + '\n' << std::flush;
      --open_;
      ended_.notify_all();
    };
  }

  weir::call_settings settings_;
  load what_;
  steady::time_point start_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::uint64_t open_ = 0;
  std::vector<std::unique_ptr<weir::client>> clients_;  // last: their callbacks use the rest
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"A worker and a caller of methods, for tests"};
  app.require_subcommand(1);
  weir::worker_options server;
  std::string file;
  auto* serves = app.add_subcommand("serve", "Offers nap, once, hold, keep, large and count");
  serves->add_option("--from", server.connect, "Gateways");
  serves->add_option("--bind", server.bind, "Where clients connect");
  serves->add_option("--direct", server.direct, "Where gateways send clients");
  serves->add_option("--slots", server.slots, "Handlers at a time");
  serves->add_option("--marks", file, "What was run")->required();
  milliseconds::rep heartbeat = 100;
  serves->add_option("--heartbeat", heartbeat, "Milliseconds");

  weir::client_options client;
  weir::call_settings settings;
  load what;
  milliseconds::rep deadline = 60'000;
  bool through_gateways = false;
  auto* calls = app.add_subcommand("call", "Makes the calls that it reads");
  calls->add_option("--connect", client.connect, "Gateways or workers")->required();
  calls->add_option("--clients", what.clients, "Connections that share the calls");
  calls->add_option("--in-flight", what.in_flight, "Calls under way");
  calls->add_option("--rate", what.rate, "Calls a second, however many are under way");
  calls->add_option("--retries", settings.retries, "Further attempts");
  calls->add_option("--deadline", deadline, "Milliseconds");
  calls->add_flag("--no-introduce", through_gateways, "Never call workers directly");
  CLI11_PARSE(app, argc, argv);
  try {
    if (serves->parsed()) {
      server.heartbeat = milliseconds(heartbeat);
      return serve(std::move(server), file);
    }
    client.on_notice = say;
    client.introduce = !through_gateways;
    settings.deadline = milliseconds(deadline);
    return caller(client, settings, what).run();
  } catch (const std::exception& e) {
    std::cerr << "weir_call_nodes: " << e.what() << '\n';
    return 1;
  }
}
