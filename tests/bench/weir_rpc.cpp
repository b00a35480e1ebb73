// The servers and the client of weir's own RPC, for scripts/bench rpc.
//
//   weir_rpc server --bind EP | --from EP [--bind EP --direct EP]   methods echo and nap
//   weir_rpc client --connect EP --servers N                        calls them, prints one JSON
//   line
//
// With --in-flight 1 a thread waits for each call; with more it starts them and takes their
// answers, by the interface beneath the types (weir/raw_client.hpp).
#include "bench.hpp"

#include <weir/client.hpp>
#include <weir/expose.hpp>
#include <weir/memory.hpp>
#include <weir/worker.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;

weir::worker* serving = nullptr;

int serve(weir::worker_options options) {
  weir::worker node(std::move(options));
  node.expose("echo", [](weir::packed value) { return value; }, {.idempotent = true});
  node.expose("nap",
              [](int ms) {
                std::this_thread::sleep_for(std::chrono::milliseconds(ms));
                return ms;
              },
              {.idempotent = true});
  serving = &node;
  std::signal(SIGTERM, [](int) { serving->stop(); });
  node.run();
  return 0;
}

struct load {
  std::uint64_t calls = 20'000;
  std::size_t size = 64;
  std::size_t in_flight = 1;
  std::size_t batch = 1;
  unsigned slow_per_mille = 0;
  unsigned servers = 1;
  bool pile_up = false;
};

constexpr auto patience = 60s;

/// Until every server answers: so that no call is measured that waits for one to come.
bool all_there(weir::raw_client& client, unsigned servers) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < until) {
    const auto outcome = client.call("weir.services", "\x90");
    if (outcome.ok()) {
      using entry = std::map<std::string, weir::packed>;
      for (const auto& each : weir::codec::decode<std::vector<entry>>(outcome.result))
        if (weir::codec::decode<std::string>(each.at("name").bytes) == "echo" &&
            weir::codec::decode<unsigned>(each.at("workers").bytes) >= servers)
          return true;
    }
    std::this_thread::sleep_for(20ms);
  }
  return false;
}

/// What was measured.
struct figures {
  std::vector<std::int64_t> samples;
  std::uint64_t answered = 0;
  std::uint64_t errors = 0;
  std::int64_t took = 0;

  void report() {
    bench::json_line line;
    line.add("calls", answered).add("errors", errors);
    line.add("calls_per_second",
             static_cast<double>(answered) * 1e9 / static_cast<double>(took));
    line.add("median_us", bench::quantile(samples, 0.5) / 1e3);
    line.add("p99_us", bench::quantile(samples, 0.99) / 1e3);
    std::cout << line.str() << std::endl;
  }
};

/// One thread that waits for each call. Slow ones are made beside these, which are what is
/// measured.
figures one_by_one(weir::raw_client& client, const load& what, std::string_view arguments,
                   const weir::prepared_settings& settings) {
  figures f;
  f.samples.reserve(what.calls);
  const auto start = bench::now_ns();
  for (std::uint64_t i = 0; i < what.calls; ++i) {
    const auto sent = bench::now_ns();
    if (!client.call("echo", arguments, settings).ok()) ++f.errors;
    f.samples.push_back(bench::now_ns() - sent);
    ++f.answered;
  }
  f.took = bench::now_ns() - start;
  return f;
}

/// Keeps `in_flight` calls on their way from one thread: takes all answers that are there, then
/// makes as many calls again, each by itself or `batch` of them together.
class flood {
 public:
  flood(weir::raw_client& client, const load& what, std::string_view arguments,
        const weir::prepared_settings& settings)
      : client_(client), what_(what), arguments_(arguments), settings_(settings) {
    for (std::size_t i = 0; i < what.batch; ++i) {
      packed_ += arguments;
      ends_.push_back(static_cast<std::uint32_t>(packed_.size()));
    }
    f_.samples.reserve(what.calls);
  }

  figures run() {
    const auto start = bench::now_ns();
    for (std::size_t i = 0; i < std::max<std::size_t>(1, what_.in_flight / what_.batch); ++i)
      free_.push_back(groups_.emplace_back(std::make_unique<group>(*this)).get());
    std::uint64_t sent = 0;
    while (answered() < what_.calls) {
      for (auto* each : take_free()) {
        if (sent >= what_.calls) break;
        sent += each->send(std::min<std::uint64_t>(what_.batch, what_.calls - sent), sent);
      }
      const std::unique_ptr<weir::completion> some = await_some();
      if (some) client_.wait(*some);
    }
    f_.took = bench::now_ns() - start;
    return std::move(f_);
  }

 private:
  /// Calls that were started together.
  struct group final : weir::reply_receiver {
    explicit group(flood& o) : all(o) {}
    std::uint64_t send(std::uint64_t count, std::uint64_t number) {
      left = count;
      sent_at = bench::now_ns();
      // Every so-manieth is slow, and is not measured.
      slow = all.what_.slow_per_mille > 0 && number % (1000 / all.what_.slow_per_mille) == 0;
      if (slow)
        all.client_.start("nap", std::string_view("\x91\x14", 2), all.settings_, *this);
      else if (count == 1)
        all.client_.start("echo", all.arguments_, all.settings_, *this);
      else
        all.client_.start("echo", std::string_view(all.packed_).substr(0, all.ends_[count - 1]),
                          std::span(all.ends_).first(count), all.settings_, *this);
      return count;
    }
    void on_reply(std::uint32_t, const weir::reply_view& reply) noexcept override {
      all.note(*this, reply.code);
    }
    flood& all;
    std::int64_t sent_at = 0;
    std::uint64_t left = 0;
    bool slow = false;
  };

  void note(group& from, weir::status code) {
    const auto now = bench::now_ns();
    weir::completion* awaited = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (!from.slow) f_.samples.push_back(now - from.sent_at);
      if (code != weir::status::ok) ++f_.errors;
      ++f_.answered;
      if (--from.left == 0) {
        free_.push_back(&from);
        awaited = std::exchange(awaited_, nullptr);
      }
    }
    if (awaited != nullptr) client_.complete(*awaited);
  }
  std::uint64_t answered() {
    const std::lock_guard lock(mutex_);
    return f_.answered;
  }
  std::vector<group*> take_free() {
    const std::lock_guard lock(mutex_);
    return std::exchange(free_, {});
  }
  std::unique_ptr<weir::completion> await_some() {
    const std::lock_guard lock(mutex_);
    if (!free_.empty() || f_.answered >= what_.calls) return nullptr;
    auto some = std::make_unique<weir::completion>();
    awaited_ = some.get();
    return some;
  }

  weir::raw_client& client_;
  const load& what_;
  std::string_view arguments_;
  const weir::prepared_settings& settings_;
  std::string packed_;
  std::vector<std::uint32_t> ends_;
  std::vector<std::unique_ptr<group>> groups_;
  std::mutex mutex_;
  std::vector<group*> free_;
  weir::completion* awaited_ = nullptr;
  figures f_;
};

/// All calls at once, to a gateway whose workers are kept busy: they wait there.
figures pile_up(weir::raw_client& client, const load& what, std::string_view arguments,
                const weir::prepared_settings& settings) {
  std::atomic<int> napping = 0;
  for (unsigned i = 0; i < 4 * what.servers; ++i) {
    ++napping;
    client.call("nap", std::string_view("\x91\xcd\x07\xd0", 4), settings,  // [2000]
                [&](const weir::raw_outcome&) { --napping; });
  }
  std::this_thread::sleep_for(200ms);
  return flood(client, what, arguments, settings).run();
}

int call(weir::client_options options, const load& what) {
  weir::raw_client client(std::move(options));
  if (!client.wait_connected(patience) || !all_there(client, what.servers)) {
    std::cerr << "weir_rpc: the servers did not come\n";
    return 1;
  }
  // One argument: bytes, so long that the whole call's payload is about `size`.
  std::string arguments("\x91\xc5", 2);
  arguments += static_cast<char>(what.size >> 8);
  arguments += static_cast<char>(what.size & 0xff);
  arguments.append(what.size, 'x');
  weir::call_settings wanted;
  wanted.deadline = patience;
  const weir::prepared_settings settings(wanted);
  // What is new takes longer the first time: introductions, memory.
  load first = what;
  first.calls = std::min<std::uint64_t>(what.calls, 2000);
  first.slow_per_mille = 0;
  if (!what.pile_up) (void)one_by_one(client, first, arguments, settings);
  auto result = what.pile_up          ? pile_up(client, what, arguments, settings)
                : what.in_flight == 1 ? one_by_one(client, what, arguments, settings)
                                      : flood(client, what, arguments, settings).run();
  result.report();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  weir::keep_freed_memory();
  CLI::App app{"The servers and the client of weir's RPC, to be measured"};
  app.require_subcommand(1);
  weir::worker_options server;
  auto* serves = app.add_subcommand("server", "Offers echo and nap");
  serves->add_option("--bind", server.bind, "Where clients connect");
  serves->add_option("--from", server.connect, "Gateways");
  serves->add_option("--direct", server.direct, "Where gateways send clients");
  serves->add_option("--slots", server.slots, "Handlers at a time");
  weir::client_options client;
  client.introduce = false;
  load what;
  auto* calls = app.add_subcommand("client", "Calls echo");
  calls->add_option("--connect", client.connect, "A gateway or a server")->required();
  calls->add_option("--servers", what.servers, "Wait for so many");
  calls->add_flag("--introduce", client.introduce, "Call servers directly");
  calls->add_option("--calls", what.calls, "Calls");
  calls->add_option("--size", what.size, "Bytes")->check(CLI::Range(1, 65535));
  calls->add_option("--in-flight", what.in_flight, "Calls under way");
  calls->add_option("--batch", what.batch, "Calls made together");
  calls->add_option("--slow-per-mille", what.slow_per_mille, "Calls of 20 ms beside them");
  calls->add_flag("--pile-up", what.pile_up, "All at once, while the servers are busy");
  CLI11_PARSE(app, argc, argv);
  try {
    return serves->parsed() ? serve(std::move(server)) : call(std::move(client), what);
  } catch (const std::exception& e) {
    std::cerr << "weir_rpc: " << e.what() << '\n';
    return 1;
  }
}
