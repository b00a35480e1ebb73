#include "sim/scenario.hpp"
#include "sim/surroundings.hpp"

#include <type_traits>

namespace weir::sim {
namespace {
using namespace proto;

std::string text(const seq_ranges& ranges) {
  std::string all;
  std::size_t shown = 0;
  for (const auto& r : ranges) {
    if (++shown > 12) return all + " ... (" + std::to_string(ranges.size()) + " ranges)";
    all += " " + std::to_string(r.first);
    if (r.last != r.first) all += "-" + std::to_string(r.last);
  }
  return all;
}
template <class Runs>
std::string runs(const Runs& all) {
  std::string line;
  std::size_t shown = 0;
  for (const auto& r : all) {
    if (++shown > 12) return line + " ... (" + std::to_string(all.size()) + " runs)";
    if constexpr (requires { r.call; }) line += " of call " + std::to_string(r.call);
    line += text(seq_ranges{{r.first, r.last()}});
    if constexpr (requires { r.attempt; }) line += "a" + std::to_string(r.attempt);
    if constexpr (requires { r.method; }) line += " " + r.method;
    if constexpr (requires { r.code; })
      if (r.code != status::ok) line += "!" + std::string(to_string(r.code));
  }
  return line;
}
std::string of(const source_id& id) { return " of " + std::to_string(index_of(id)); }

struct describer {
  std::string operator()(const hello& m) const { return "HELLO " + m.self.name; }
  std::string operator()(const welcome& m) const { return "WELCOME " + m.self.name; }
  std::string operator()(const task_batch& m) const {
    return "TASK" + of(m.source) + ":" + runs(m.runs);
  }
  std::string operator()(const result_batch& m) const {
    return "RESULT" + of(m.source) + ":" + runs(m.runs);
  }
  std::string operator()(const window& m) const {
    std::string line = "WINDOW " + std::to_string(m.items) + " " + std::to_string(m.bytes);
    if (m.resync) line += " resync";
    for (const auto& h : m.holding) line += of(h.source) + ":" + text(h.ranges);
    return line;
  }
  std::string operator()(const cancel& m) const {
    return (m.mode == cancel_mode::stop ? "CANCEL stop" : "CANCEL give back") + of(m.source) +
           ":" + text(m.ranges);
  }
  std::string operator()(const release& m) const {
    return "RELEASE" + of(m.source) + ":" + text(m.ranges);
  }
  std::string operator()(const register_source& m) const {
    return "REGISTER" + of(m.source) + " low " + std::to_string(m.low) + text(m.done);
  }
  std::string operator()(const registered& m) const {
    return "REGISTERED" + of(m.source) + " low " + std::to_string(m.low) + text(m.done);
  }
  std::string operator()(const ack& m) const {
    return "ACK" + of(m.source) + " low " + std::to_string(m.low) + text(m.done);
  }
  std::string operator()(const committed& m) const {
    return "COMMITTED" + of(m.source) + ":" + text(m.ranges);
  }
  std::string operator()(const resend& m) const { return "RESEND" + of(m.source); }
  std::string operator()(const finish& m) const {
    return "FINISH" + of(m.source) + " total " + std::to_string(m.total);
  }
  std::string operator()(const progress& m) const { return "PROGRESS" + of(m.source); }
  std::string operator()(const alive&) const { return "ALIVE"; }
  std::string operator()(const bye& m) const {
    return m.reason == bye_reason::finished ? "BYE finished" : "BYE leaving";
  }
  std::string operator()(const error_message& m) const { return "ERROR " + m.text; }
  std::string operator()(const offer& m) const {
    std::string line = "OFFER";
    for (const auto& method : m.methods) line += " " + method.name;
    return line;
  }
  std::string operator()(const call_batch& m) const {
    return "CALL low " + std::to_string(m.low) + ":" + runs(m.runs);
  }
  std::string operator()(const reply_batch& m) const { return "REPLY" + runs(m.runs); }
  std::string operator()(const part_batch& m) const { return "PART" + runs(m.runs); }
  std::string operator()(const credit& m) const {
    std::string line = "CREDIT";
    for (const auto& e : m.entries)
      line += " " + std::to_string(e.call) + ":" + std::to_string(e.got) + "-" +
              std::to_string(e.until);
    return line;
  }
  std::string operator()(const cancel_calls& m) const {
    return "CANCEL_CALLS" + text(m.calls) + " " + m.reason;
  }
  std::string operator()(const call_progress& m) const {
    return "CALL_PROGRESS " + std::to_string(m.call) + " " + std::to_string(m.done) + "/" +
           std::to_string(m.total);
  }
  std::string operator()(const direct_calls& m) const {
    std::string line = "DIRECT_CALLS";
    for (const auto& e : m.entries) line += " " + e.method + " " + std::to_string(e.calls);
    return line;
  }
};
}  // namespace

std::string describe(const message& m) { return std::visit(describer{}, m); }

}  // namespace weir::sim
