// The calling end of a link, for tests of the called end: sends calls, collects what comes.
#pragma once

#include "net/node_loop.hpp"
#include "net/transport.hpp"
#include "proto/links.hpp"
#include "proto/rpc/caller.hpp"
#include "running_nodes.hpp"

#include <weir/codec.hpp>
#include <weir/endpoint.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace net_test {

using namespace std::chrono_literals;

struct outcome {
  weir::status code = weir::status::unknown;
  std::string result;
  weir::proto::reply_details details;
  template <class T>
  [[nodiscard]] T as() const {
    return weir::codec::decode<T>(result);
  }
};

/// A client without any comfort. Everything on the test's own thread.
class caller_peer {
 public:
  explicit caller_peer(const std::string& endpoint,
                       weir::proto::role role = weir::proto::role::client)
      : links_(introduction(role), weir::proto::clock::now()) {
    links_.open(net_.connect(weir::endpoint::parse(endpoint), false), weir::proto::clock::now(),
                out_);
    REQUIRE(wait_for([this] { return worker_ && offered && caller_.has_window(*worker_); }));
  }
  ~caller_peer() { net_.close(0ms); }
  caller_peer(const caller_peer&) = delete;
  caller_peer& operator=(const caller_peer&) = delete;

  struct how {
    std::chrono::milliseconds time = 60s;
    weir::proto::call_options options{};
  };
  /// Returns the call's number.
  template <class... Args>
  std::uint64_t call(const std::string& method, const Args&... args) {
    return call_with({}, method, args...);
  }
  template <class... Args>
  std::uint64_t call_with(const how& h, const std::string& method, const Args&... args) {
    std::string packed;
    weir::codec::put_arguments(packed, args...);
    return send(method, weir::proto::pack::of(std::move(packed)), h);
  }
  /// Many at once; returns the first one's number.
  std::uint64_t send(const std::string& method, weir::proto::pack arguments, const how& h) {
    weir::proto::caller::flight f;
    f.number = next_;
    f.method = method;
    f.deadline = weir::proto::clock::now() + h.time;
    if (!h.options.plain())
      f.options = std::make_shared<const weir::proto::call_options>(h.options);
    next_ += arguments.size();
    const auto first = f.number;
    f.arguments = std::move(arguments);
    REQUIRE(wait_for([&] { return caller_.fits(*worker_, f.arguments) == f.size(); }));
    caller_.send(*worker_, std::move(f));
    flush();
    return first;
  }
  void cancel(std::uint64_t number) {
    (void)caller_.cancel({number, number}, "the test says so", arrivals_);
    flush();
  }
  void grant(std::uint64_t number, std::uint64_t until) {
    caller_.grant(number, until);
    flush();
  }
  const outcome& await(std::uint64_t number) {
    REQUIRE(wait_for([&] { return outcomes.count(number) == 1; }));
    return outcomes.at(number);
  }

  bool wait_for(const std::function<bool()>& enough) {
    const auto end = weir::proto::clock::now() + patience;
    while (!enough()) {
      if (weir::proto::clock::now() > end) return false;
      net_.wait(std::min(end, links_.next_deadline()), true);
      events_.clear();
      net_.receive(events_, 256);
      for (auto& e : events_) on_event(e);
      std::vector<weir::proto::links::event> changes;
      links_.tick(weir::proto::clock::now(), out_, changes);
      flush();
    }
    return true;
  }

  std::optional<weir::proto::offer> offered;
  std::map<std::uint64_t, outcome> outcomes;
  std::map<std::uint64_t, std::vector<std::string>> elements;
  std::vector<weir::proto::caller::progressed> reports;
  bool gone = false;  // the worker said BYE

 private:
  static weir::proto::links::options introduction(weir::proto::role role) {
    weir::node_options node;
    node.heartbeat = 200ms;
    return weir::net::introduce(role, node, {weir::proto::role::worker});
  }
  void on_event(weir::net::transport::event& e) {
    const auto now = weir::proto::clock::now();
    using kind = weir::net::transport::event::kind;
    if (e.what == kind::up) return links_.up(e.peer, now, out_);
    if (e.what == kind::down) return links_.down(e.peer, now);
    if (e.what != kind::message) return;
    std::vector<weir::proto::links::event> changes;
    const auto who = links_.receive(e.peer, e.message, now, out_, changes);
    for (const auto& c : changes)
      if (c.what == weir::proto::links::change::joined) {
        worker_ = c.who;
        caller_.joined(c.who);
      }
    if (!who) return;
    using namespace weir::proto;
    if (auto* o = std::get_if<offer>(&e.message)) offered = *o;
    if (auto* w = std::get_if<window>(&e.message)) caller_.on_window(*who, *w);
    if (auto* r = std::get_if<reply_batch>(&e.message))
      caller_.on_reply(*who, std::move(*r), arrivals_);
    if (auto* p = std::get_if<part_batch>(&e.message))
      caller_.on_parts(*who, std::move(*p), arrivals_);
    if (auto* p = std::get_if<call_progress>(&e.message))
      caller_.on_progress(*who, std::move(*p), arrivals_);
    if (std::holds_alternative<bye>(e.message)) gone = true;
    take();
  }
  void take() {
    for (auto& p : arrivals_.parts)
      for (std::uint32_t i = 0; i < p.part.elements.size(); ++i)
        elements[p.number].emplace_back(p.part.elements[i]);
    for (auto& a : arrivals_.answers)
      for (std::uint32_t i = 0; i < a.reply.results.size(); ++i) {
        outcome o{a.reply.code, std::string(a.reply.results[i]), {}};
        if (!a.reply.details.empty()) o.details = a.reply.details[i];
        CHECK(outcomes.emplace(a.calls.number + i, std::move(o)).second);
      }
    for (auto& r : arrivals_.reports) reports.push_back(std::move(r));
    arrivals_.clear();
  }
  void flush() {
    caller_.flush(weir::proto::clock::now(), links_, out_);
    weir::net::carry_out(out_, net_, {});
  }

  weir::net::transport net_;
  weir::proto::links links_;
  weir::proto::caller caller_;
  weir::proto::caller::arrivals arrivals_;
  weir::proto::outbox out_;
  std::vector<weir::net::transport::event> events_;
  std::optional<weir::proto::session_id> worker_;
  std::uint64_t next_ = 1;
};

}  // namespace net_test
