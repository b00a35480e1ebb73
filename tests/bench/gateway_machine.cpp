// What a call costs in the gateway's machine alone: no sockets, no frames, one thread. The
// bar is 300 ns a call when calls come in runs, see docs/performance.md.
//
//   gateway_machine [CALLS]
//
// Prints one JSON object per workload: nanoseconds of processor time for a call and its reply.
#include "proto/rpc/gateway_state.hpp"

#include <weir/version.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

namespace {
using namespace weir::proto;

struct workload {
  const char* name;
  std::uint32_t clients;
  std::uint32_t workers;
  std::uint32_t run;  // calls in one CALL
  bool queued;        // the workers' windows are always full
};
constexpr workload workloads[] = {
    {"one call at a time", 1, 1, 1, false},
    {"one call at a time, ten workers", 1, 10, 1, false},
    {"runs of 8", 1, 2, 8, false},
    {"runs of 64", 1, 2, 64, false},
    {"runs of 512", 1, 2, 512, false},
    {"200 clients, one call each", 200, 2, 1, false},
    {"200 clients, runs of 5", 200, 2, 5, false},
    {"queued, runs of 64", 4, 2, 64, true},
    {"queued, one call each", 200, 2, 1, true},
};

introduction who(role r, std::uint64_t session) {
  introduction self;
  self.role = r;
  self.session = session_id{session};
  self.slots = 1;
  return self;
}

/// Answers what the gateway sends out; returns how many calls have been answered to clients.
class world {
 public:
  explicit world(const workload& w)
      : load_(w),
        gateway_({who(role::gateway, 1), std::chrono::hours(1), {role::client, role::worker}},
                 {}, now_),
        next_(w.clients, 1) {
    for (std::uint32_t i = 0; i < w.workers; ++i) {
      const auto peer = static_cast<peer_id>(worker_base + i);
      hears(peer, hello{weir::wire_version, who(role::worker, worker_base + i)});
      offer o;
      o.methods.emplace_back().name = "echo";
      hears(peer, std::move(o));
      hears(peer, window{w.queued ? w.run : 16'384U, 16 << 20, false, {}});
    }
    for (std::uint32_t i = 0; i < w.clients; ++i)
      hears(peer_id{i}, hello{weir::wire_version, who(role::client, 2 + i)});
    gateway_.tick(now_, out_);
    out_.sends.clear();
  }

  /// Every client makes a run of calls; all is answered.
  std::uint64_t round() {
    now_ += std::chrono::microseconds(100);
    for (std::uint32_t i = 0; i < load_.clients; ++i) {
      call_run run;
      run.first = next_[i];
      run.method = "echo";
      run.ttl_ms = 5000;
      run.arguments = {payload_.part(0, std::size_t{load_.run} * size), load_.run, size};
      call_batch batch{next_[i] - 1, {}};
      batch.runs.push_back(std::move(run));
      next_[i] += load_.run;
      hears(peer_id{i}, std::move(batch));
    }
    std::uint64_t answered = 0;
    const std::uint64_t expected = std::uint64_t{load_.clients} * load_.run;
    while (answered < expected) {
      gateway_.tick(now_, out_);
      auto sends = std::exchange(out_.sends, {});
      if (sends.empty()) std::abort();
      for (auto& o : sends) {
        if (const auto* calls = std::get_if<call_batch>(&o.what)) {
          reply_batch replies;
          for (const auto& run : calls->runs) {
            reply_run r;
            r.first = run.first;
            r.results = run.arguments;
            r.received_us = 1'000'000;
            replies.runs.push_back(std::move(r));
          }
          hears(o.to, std::move(replies));
        } else if (const auto* replies = std::get_if<reply_batch>(&o.what)) {
          for (const auto& r : replies->runs) answered += r.results.size();
        }
      }
    }
    return answered;
  }

 private:
  static constexpr std::uint32_t worker_base = 100'000;
  static constexpr std::uint32_t size = 64;

  void hears(peer_id from, message m) { gateway_.on_message(from, std::move(m), now_, out_); }

  workload load_;
  time_point now_{std::chrono::hours(1)};
  gateway_state gateway_;
  gateway_outbox out_;
  blob payload_ = blob::from(std::string(std::size_t{512} * size, 'x'));
  std::vector<std::uint64_t> next_;
};
}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t calls =
      argc > 1 ? std::strtoull(argv[1], nullptr, 10) : std::uint64_t{400'000};
  for (const workload& w : workloads) {
    world all(w);
    // Not the time that went by: other processes may be using the processor as well.
    const std::clock_t begin = std::clock();
    std::uint64_t done = 0;
    while (done < calls) done += all.round();
    const double ns = 1e9 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    std::printf("{\"workload\": \"%s\", \"calls\": %llu, \"ns_per_call\": %.1f}\n", w.name,
                static_cast<unsigned long long>(done), ns / static_cast<double>(done));
  }
}
