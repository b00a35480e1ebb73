// The gateway under everything at once: what must hold whatever happens, for many seeds.
#include "proto/backoff.hpp"
#include "proto/rpc/link_numbers.hpp"
#include "rpc_gateway_fixture.hpp"

#include <set>

namespace rpc_gateway_chaos_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr std::uint32_t first_worker = 1000;
constexpr session_id gateway_session{9};  // as the fixture has it

/// Clients and workers that do anything that is allowed, in any order.
class chaos {
 public:
  explicit chaos(std::uint64_t seed) : random_(seed), g_(options_of(random_)) {
    for (std::uint32_t i = 0; i < 3; ++i) new_client();
    for (std::uint32_t i = 0; i < 2; ++i) new_worker();
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      // Several things may happen between two rounds.
      if (pick(3) != 0) settle();
    }
    // In the end everybody is patient and reads, and every worker answers.
    for (const auto& [peer, c] : clients_) g_.machine.link_stalled(peer_id{peer}, false);
    for (int i = 0; i < 400 && (open_calls() > 0 || g_.machine.stats().queued > 0); ++i) {
      for (auto& [peer, w] : workers_) answer(peer, w, 1000, true);
      g_.now += milliseconds(250);
      keep_alive();
      settle();
    }
    for (const auto& [peer, c] : clients_) {
      INFO("client ", peer);
      CHECK(c.open.empty());
    }
    for (auto& [peer, w] : workers_) answer(peer, w, 1000, true);
    settle();
    const auto left = g_.machine.stats();
    CHECK(left.queued == 0);
    CHECK(left.running == 0);
  }

 private:
  struct client_model {
    std::uint64_t next = 1;
    std::set<std::uint64_t> open;
    std::set<std::uint64_t> silent;  // no reply wanted
    std::map<std::uint64_t, time_point> deadlines;
  };
  struct worker_model {
    std::set<std::uint64_t> running;
    std::set<std::uint64_t> cancelled;
    std::uint64_t highest = 0;
    bool draining = false;
  };

  static gateway_state::options options_of(random_bits& random) {
    gateway_state::options o;
    o.queue_calls = 20 + random.next() % 100;
    o.wait = seconds(random.next() % 2 * 3);
    return o;
  }
  std::uint64_t pick(std::uint64_t below) { return random_.next() % below; }
  template <class Map>
  auto any(Map& map) {
    return std::next(map.begin(), static_cast<std::ptrdiff_t>(pick(map.size())));
  }

  void new_client() {
    const std::uint32_t peer = next_client_++;
    const std::uint64_t session = random_.next();
    clients_[peer].next = beginning_of(session_id{session}, gateway_session) + 1;
    g_.hears(peer, hello{wire_version, who(role::client, session)});
  }
  void new_worker() {
    const std::uint32_t peer = next_worker_++;
    const std::uint64_t session = random_.next();
    workers_[peer].highest = beginning_of(gateway_session, session_id{session});
    g_.hears(peer, hello{wire_version, who(role::worker, session)});
    offer o;
    for (const char* name : {"a", "b", "c"})
      if (pick(3) != 0) o.methods.push_back(gateway::method(name, name[0] == 'b'));
    if (!o.methods.empty() && pick(2) == 0) o.methods[0].cache_ms = 500;
    g_.hears(peer, o);
    g_.hears(peer, window{1 + pick(20), 1000 + pick(100'000), false, {}});
  }

  void call(std::uint32_t peer, client_model& c) {
    call_batch batch;
    for (std::uint64_t runs = 1 + pick(3); runs > 0; --runs) {
      const auto n = static_cast<std::uint32_t>(1 + pick(pick(4) == 0 ? 30 : 3));
      call_run run;
      run.first = c.next;
      run.method = std::string(1, static_cast<char>('a' + pick(4)));
      run.ttl_ms = static_cast<std::uint32_t>(1 + pick(8000));
      run.arguments = tasks(n, static_cast<std::uint32_t>(pick(3) * 8));
      call_options o;
      if (pick(4) == 0) o.priority = static_cast<std::uint8_t>(pick(10));
      if (pick(6) == 0) o.hash_key = std::to_string(pick(5));
      if (pick(4) == 0) o.idempotency_key = std::to_string(pick(20));
      if (pick(10) == 0) o.stream_window = 4;
      if (pick(8) == 0) o.no_reply = true;
      if (o.no_reply) o.stream_window = 0;
      run.options = std::make_shared<const call_options>(o);
      for (std::uint32_t i = 0; i < n; ++i, ++c.next) {
        (o.no_reply ? c.silent : c.open).insert(c.next);
        c.deadlines[c.next] = g_.now + milliseconds(run.ttl_ms);
      }
      batch.runs.push_back(std::move(run));
    }
    g_.hears(peer, std::move(batch));
  }

  void answer(std::uint32_t peer, worker_model& w, std::uint64_t most, bool always_well) {
    reply_batch batch;
    for (; most > 0 && !w.running.empty(); --most) {
      const auto it = always_well ? w.running.begin() : any(w.running);
      reply_run run;
      run.first = *it;
      run.results = pack::of("r");
      run.received_us = 1 + pick(1000);
      const bool stopped = w.cancelled.erase(*it) > 0;
      if (stopped || (!always_well && pick(4) == 0)) {
        run.code = stopped ? status::cancelled
                           : std::array{status::unknown, status::unavailable,
                                        status::deadline_exceeded}[pick(3)];
        run.results = pack::of("");
        run.details.resize(1);
        run.details[0].never_started = !stopped && pick(2) == 0;
      }
      w.running.erase(it);
      batch.runs.push_back(std::move(run));
    }
    if (!batch.runs.empty()) g_.hears(peer, std::move(batch));
  }

  void step() {
    switch (pick(17)) {
      case 0:
        if (clients_.size() < 5) new_client();
        break;
      case 1:
        if (workers_.size() < 4) new_worker();
        break;
      case 2:
        if (pick(3) == 0 && clients_.size() > 1) {
          const auto it = any(clients_);
          g_.hears(it->first, bye{});
          clients_.erase(it);
        }
        break;
      case 3:
        if (pick(3) == 0 && workers_.size() > 1) {
          const auto it = any(workers_);
          g_.hears(it->first, bye{});
          workers_.erase(it);
        }
        break;
      case 4:
        if (pick(3) == 0 && workers_.size() > 1) {
          const auto it = any(workers_);
          g_.machine.link_down(peer_id{it->first}, g_.now);
          workers_.erase(it);
          for (int i = 0; i < 4; ++i) {
            g_.now += milliseconds(250);
            keep_alive();
            settle();
          }
        }
        break;
      case 5: {
        const auto it = any(workers_);
        it->second.draining = pick(3) == 0;
        g_.hears(it->first, window{it->second.draining ? 0 : 1 + pick(20), 50'000, false, {}});
        break;
      }
      case 6: {
        const auto it = any(clients_);
        if (it->second.open.empty()) break;
        const std::uint64_t first = *any(it->second.open);
        g_.hears(it->first, cancel_calls{{{first, first + pick(4)}}, "enough"});
        break;
      }
      case 7:
        g_.now += milliseconds(pick(900));
        keep_alive();
        break;
      case 8:
      case 9:
      case 10:
      case 11: {
        const auto it = any(clients_);
        call(it->first, it->second);
        break;
      }
      case 12:
        g_.machine.link_stalled(peer_id{any(clients_)->first}, pick(2) == 0);
        break;
      default: {
        const auto it = any(workers_);
        answer(it->first, it->second, 1 + pick(10), false);
        break;
      }
    }
  }

  void keep_alive() {
    for (const auto& [peer, c] : clients_) g_.hears(peer, alive{});
    for (const auto& [peer, w] : workers_) g_.hears(peer, alive{});
  }

  /// The gateway's round; everybody takes what it says.
  void settle() {
    g_.tick();
    for (auto& o : std::exchange(g_.out.sends, {})) {
      const auto peer = static_cast<std::uint32_t>(o.to);
      if (const auto* calls = std::get_if<call_batch>(&o.what)) given(peer, *calls);
      if (const auto* replies = std::get_if<reply_batch>(&o.what)) replied(peer, *replies);
      if (const auto* stop = std::get_if<cancel_calls>(&o.what)) {
        const auto w = workers_.find(peer);
        if (w == workers_.end()) continue;
        for (const auto& range : stop->calls)
          for (std::uint64_t n = range.first; n <= range.last; ++n)
            if (w->second.running.contains(n)) w->second.cancelled.insert(n);
      }
    }
    CHECK(g_.machine.next_deadline() > g_.now);
  }
  void given(std::uint32_t peer, const call_batch& calls) {
    const auto w = workers_.find(peer);
    if (w == workers_.end()) return;
    for (const auto& run : calls.runs) {
      CHECK(run.first == w->second.highest + 1);
      CHECK(run.ttl_ms >= 1);
      w->second.highest = run.last();
      if (run.options && run.options->no_reply) continue;
      for (std::uint64_t n = run.first; n <= run.last(); ++n) w->second.running.insert(n);
    }
  }
  void replied(std::uint32_t peer, const reply_batch& replies) {
    const auto c = clients_.find(peer);
    if (c == clients_.end()) return;
    for (const auto& run : replies.runs) {
      CHECK((run.details.empty() || run.details.size() == run.results.size()));
      for (std::uint64_t n = run.first; n <= run.last(); ++n) {
        INFO("call ", n, " of client ", peer);
        CHECK(c->second.open.erase(n) == 1);  // one reply each, and for what was asked
      }
    }
  }
  std::size_t open_calls() const {
    std::size_t n = 0;
    for (const auto& [peer, c] : clients_) n += c.open.size();
    return n;
  }

  random_bits random_;
  gateway g_;
  std::uint32_t next_client_ = 1;
  std::uint32_t next_worker_ = first_worker;
  std::map<std::uint32_t, client_model> clients_;
  std::map<std::uint32_t, worker_model> workers_;
};
}  // namespace

TEST_CASE("whatever clients and workers do, each call gets exactly one reply") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    INFO("seed ", seed);
    chaos(seed).run(400);
  }
}

}  // namespace rpc_gateway_chaos_test
