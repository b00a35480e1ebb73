// The embedded library at work, one role a process, for scripts/bench.
//
//   ventilator --bind T --sink R --workers W --tasks N --size S     no-op tasks of S bytes
//   ventilator ... --latency N                               one task at a time
//   ventilator ... --sleep-us U --long-us L --long-at K      payloads say how long to sleep
//   worker --from T [--sleep-us-from-payload] [--log FILE]   one slot, echoes the payload
//   sink --bind R                                            counts
//   idle-workers --count N --from T                          N sessions that never work
#include <weir/error.hpp>
#include <weir/memory.hpp>
#include <weir/sink.hpp>
#include <weir/ventilator.hpp>
#include <weir/worker.hpp>

#include <CLI/CLI.hpp>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {
using namespace std::chrono_literals;
using std::chrono::steady_clock;

double seconds_since(steady_clock::time_point then) {
  return std::chrono::duration<double>(steady_clock::now() - then).count();
}

std::int64_t monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

struct settings {
  std::string bind, sink, from, log;
  std::uint64_t window_bytes = 0;
  std::uint64_t tasks = 1000, latency = 0, long_at = 0, sleep_us = 0, long_us = 0;
  std::size_t size = 64;
  unsigned workers = 1, count = 200;
  bool sleep_from_payload = false;
};

/// One task at a time: the next one is submitted when the one before is acknowledged.
class ping {
 public:
  explicit ping(const settings& s) : payload_(s.size, 'x'), warm_up_(s.latency / 10) {
    micros_.reserve(s.latency);
    left_ = s.latency + warm_up_;
  }
  void start(weir::ventilator& v) {
    node_ = &v;
    next();
  }
  void on_done() {
    const double micros = seconds_since(sent_) * 1e6;
    if (warm_up_ > 0)
      --warm_up_;
    else
      micros_.push_back(micros);
    if (--left_ > 0)
      next();
    else
      node_->finish();
  }
  void print() {
    std::sort(micros_.begin(), micros_.end());
    std::printf("{\"median_us\": %.1f, \"p99_us\": %.1f}\n", micros_[micros_.size() / 2],
                micros_[micros_.size() * 99 / 100]);
  }

 private:
  void next() {
    sent_ = steady_clock::now();
    node_->submit(payload_);
  }

  std::string payload_;
  std::uint64_t warm_up_, left_ = 0;
  std::vector<double> micros_;
  steady_clock::time_point sent_;
  weir::ventilator* node_ = nullptr;
};

int ventilator(const settings& s) {
  weir::ventilator_options o;
  o.bind = {s.bind};
  o.sink = s.sink;
  if (s.window_bytes > 0) o.window_bytes = s.window_bytes;
  ping pings(s);
  if (s.latency > 0) o.on_done = [&](std::uint64_t) { pings.on_done(); };
  weir::ventilator v(o);
  while (v.stats().workers < s.workers) std::this_thread::sleep_for(1ms);
  if (s.latency > 0) {
    pings.start(v);
    v.wait_for_end();
    pings.print();
    return 0;
  }
  std::string payload(s.size, 'x');
  // One task for each worker goes all the way before the clock starts, as in raw_fanout: how
  // long three programs take to find each other is not what is measured.
  const std::uint64_t warm_up =
      s.sleep_us > 0 ? 0 : std::min<std::uint64_t>(s.workers, s.tasks);
  for (std::uint64_t i = 0; i < warm_up; ++i) v.submit(payload);
  while (v.stats().done < warm_up) std::this_thread::sleep_for(1ms);
  const auto start = steady_clock::now();
  for (std::uint64_t i = warm_up; i < s.tasks; ++i) {
    if (s.sleep_us > 0) payload = std::to_string(i == s.long_at ? s.long_us : s.sleep_us);
    v.submit(payload);
  }
  const bool complete = v.wait();
  const double seconds = seconds_since(start);
  std::printf("{\"tasks\": %llu, \"timed\": %llu, \"seconds\": %.6f}\n",
              static_cast<unsigned long long>(v.stats().done),
              static_cast<unsigned long long>(s.tasks - warm_up), seconds);
  return complete && v.stats().done == s.tasks && v.stats().failed == 0 ? 0 : 1;
}

int worker(const settings& s) {
  weir::worker_options o;
  o.connect = {s.from};
  o.slots = 1;
  if (!s.sleep_from_payload) {
    weir::worker w(o, [](weir::task& t) { return t.payload(); });
    w.run();
    return 0;
  }
  FILE* log = s.log.empty() ? nullptr : std::fopen(s.log.c_str(), "w");
  weir::worker w(o, [log](weir::task& t) {
    const auto start = monotonic_ns();
    std::this_thread::sleep_for(
        std::chrono::microseconds(std::stoll(std::string(t.payload()))));
    if (log)
      std::fprintf(log, "%lld %lld\n", static_cast<long long>(start),
                   static_cast<long long>(monotonic_ns()));
    return t.payload();
  });
  w.run();
  if (log) std::fclose(log);
  return 0;
}

class counting_store final : public weir::result_store {
 public:
  struct totals {
    std::uint64_t tasks = 0;
    steady_clock::time_point first, last;
  };
  explicit counting_store(totals& t) : totals_(t) {}
  void write(const weir::results& some) override {
    totals_.last = steady_clock::now();
    if (totals_.tasks == 0) totals_.first = totals_.last;
    totals_.tasks += some.size();
  }
  bool ready(std::size_t) override { return true; }

 private:
  totals& totals_;
};

int sink(const settings& s) {
  counting_store::totals totals;
  weir::sink_options o;
  o.bind = {s.bind};
  weir::sink node(o, std::make_unique<counting_store>(totals));
  node.run();
  std::printf("{\"tasks\": %llu, \"seconds\": %.6f}\n",
              static_cast<unsigned long long>(totals.tasks),
              std::chrono::duration<double>(totals.last - totals.first).count());
  return node.complete() ? 0 : 1;
}

int idle_workers(const settings& s) {
  std::vector<std::unique_ptr<weir::worker>> nodes;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < s.count; ++i) {
    weir::worker_options o;
    o.connect = {s.from};
    o.slots = 1;
    nodes.push_back(
        std::make_unique<weir::worker>(o, [](weir::task& t) { return t.payload(); }));
    threads.emplace_back([&node = *nodes.back()] { node.run(); });
  }
  const auto joined = [&] {
    return std::all_of(nodes.begin(), nodes.end(),
                       [](const auto& n) { return n->stats().ventilators > 0; });
  };
  while (!joined()) std::this_thread::sleep_for(5ms);
  std::printf("{\"sessions\": %u}\n", s.count);
  std::fflush(stdout);
  for (auto& t : threads) t.join();
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  weir::keep_freed_memory();
  settings s;
  CLI::App app("The embedded library at work, for scripts/bench");
  app.require_subcommand(1);
  auto* v = app.add_subcommand("ventilator");
  v->add_option("--bind", s.bind)->required();
  v->add_option("--sink", s.sink)->required();
  v->add_option("--workers", s.workers);
  v->add_option("--tasks", s.tasks);
  v->add_option("--size", s.size);
  v->add_option("--window-bytes", s.window_bytes);
  v->add_option("--latency", s.latency);
  v->add_option("--sleep-us", s.sleep_us);
  v->add_option("--long-us", s.long_us);
  v->add_option("--long-at", s.long_at);
  auto* w = app.add_subcommand("worker");
  w->add_option("--from", s.from)->required();
  w->add_flag("--sleep-us-from-payload", s.sleep_from_payload);
  w->add_option("--log", s.log);
  auto* k = app.add_subcommand("sink");
  k->add_option("--bind", s.bind)->required();
  auto* idle = app.add_subcommand("idle-workers");
  idle->add_option("--count", s.count);
  idle->add_option("--from", s.from)->required();
  CLI11_PARSE(app, argc, argv);
  if (v->parsed()) return ventilator(s);
  if (w->parsed()) return worker(s);
  if (k->parsed()) return sink(s);
  return idle_workers(s);
} catch (const weir::error& e) {
  std::fprintf(stderr, "weir_fanout: %s\n", e.what());
  return static_cast<int>(e.code());
}
