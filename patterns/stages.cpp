// A worker in the middle: a task becomes many smaller ones for the next stage.
//
//   stages LIMIT         how many primes are there below LIMIT?
//
//   ventilator ── coarse ranges ──► relay ── fine ranges ──► counters
//       ▲                           │   ▲                       │
//       └──── sum of its parts ─────┘   └──────── counts ───────┘
//
// A relay is a worker towards the stage before it and a ventilator towards the one after it.
// Two of them share the coarse ranges; the counters take work from both.
//
// Delivery   A relay answers only when all its parts are done, so the first ventilator owns a
//            coarse range until then. If a relay dies, its parts die with it, and another relay
//            does the whole range again: parts may run more than once, and each range is
//            counted once. A slot of the relay waits meanwhile; slots are what limits the
//            ranges under way. A part that fails for good fails its range.
#include "socket_folder.hpp"
#include "worker_thread.hpp"

#include <weir/error.hpp>
#include <weir/ventilator.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <iostream>
#include <string>
#include <vector>

namespace {

constexpr std::uint64_t coarse = 100'000;
constexpr std::uint64_t fine = 1'000;

// As a payload: two numbers and a space between them.
struct range {
  std::uint64_t from = 0;
  std::uint64_t to = 0;  // not included
  [[nodiscard]] std::string text() const {
    return std::to_string(from) + ' ' + std::to_string(to);
  }
  static range parse(const std::string& text) {
    std::size_t end = 0;
    const std::uint64_t from = std::stoull(text, &end);
    return {from, std::stoull(text.substr(end))};
  }
};

bool is_prime(std::uint64_t n) {
  for (std::uint64_t d = 2; d * d <= n; ++d)
    if (n % d == 0) return false;
  return n >= 2;
}

std::string count_primes(const weir::task& t) {
  const range r = range::parse(std::string(t.payload()));
  std::uint64_t n = 0;
  for (std::uint64_t each = r.from; each < r.to && !t.cancelled(); ++each) n += is_prime(each);
  return std::to_string(n);
}

/// A stage between two others.
class relay {
 public:
  // One slot, so that whatever its ventilator has is a part of the one range in hand.
  relay(const std::string& from, const std::string& next)
      : parts_{{{.bind = {next}}}, [this](const weir::result& r) { add(r); }},
        worker_{{{.connect = {from}}, 1}, [this](const weir::task& t) { return expand(t); }} {}

  /// Requires the stage before it to be finished; tells the one after it.
  void finish() {
    worker_.finish();
    parts_.wait();
  }

 private:
  void add(const weir::result& r) {
    if (r.code == weir::status::ok)
      sum_ += std::stoull(std::string(r.payload));
    else
      ++failed_;
  }

  std::string expand(const weir::task& t) {
    const range whole = range::parse(std::string(t.payload()));
    sum_ = failed_ = 0;
    for (std::uint64_t at = whole.from; at < whole.to; at += fine)
      parts_.submit(range{at, std::min(at + fine, whole.to)}.text());
    // Only now is the range done. add() has been called for all parts before this returns.
    if (!parts_.wait_idle() || failed_ > 0)
      throw weir::task_error(weir::status::aborted, std::to_string(failed_) + " parts failed");
    return std::to_string(sum_);
  }

  std::uint64_t sum_ = 0;
  std::uint64_t failed_ = 0;
  weir::ventilator parts_;
  worker_thread worker_;  // last: uses what is above
};

int run(std::uint64_t limit) {
  const socket_folder sockets;
  const std::string ranges = sockets.endpoint("ranges");
  const std::vector<std::string> parts{sockets.endpoint("parts-1"),
                                       sockets.endpoint("parts-2")};

  std::uint64_t primes = 0;
  weir::ventilator v{{{.bind = {ranges}}}, [&](const weir::result& r) {
                       if (r.code == weir::status::ok)
                         primes += std::stoull(std::string(r.payload));
                       else
                         std::cerr << "stages: " << r.details->message << '\n';
                     }};
  std::deque<relay> relays;
  for (const auto& next : parts) relays.emplace_back(ranges, next);
  // Several ventilators are served alike.
  worker_thread counters{{{.connect = parts}}, count_primes};

  for (std::uint64_t at = 0; at < limit; at += coarse)
    v.submit(range{at, std::min(at + coarse, limit)}.text());
  v.wait();
  for (auto& each : relays) each.finish();
  counters.finish();
  if (v.stats().failed > 0) return 1;
  std::cout << primes << " primes below " << limit << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::stoull(argv[1]) : 1'000'000);
  } catch (const weir::error& e) {
    std::cerr << "stages: " << e.what() << '\n';
    return static_cast<int>(e.code());
  } catch (const std::exception&) {
    std::cerr << "stages: the limit must be a number\n";
    return 64;
  }
}
