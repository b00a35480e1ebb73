#include "sim/checker.hpp"

namespace weir::sim {
namespace {
std::string name_of(std::uint32_t source, std::uint64_t seq) {
  return "task " + std::to_string(source) + ":" + std::to_string(seq);
}
}  // namespace

checker::checker(const scenario& s) : scenario_(s) {
  for (const auto& work : s.work) sources_.emplace_back().tasks.resize(work.size());
}

void checker::violation(std::string what) {
  if (verdict_.empty()) verdict_ = std::move(what);
}

checker::task* checker::find(std::uint32_t source, std::uint64_t seq, const char* what) {
  if (source < sources_.size() && seq >= 1 && seq <= sources_[source].tasks.size() &&
      sources_[source].tasks[seq - 1].fed)
    return &sources_[source].tasks[seq - 1];
  violation("C3 " + name_of(source, seq) + " was never fed, but " + what);
  return nullptr;
}

void checker::fed(std::uint32_t source, std::uint64_t seq) {
  ++sources_[source].fed;
  sources_[source].tasks[seq - 1].fed = true;
}

void checker::dispatched(std::uint32_t source, proto::seq_range range) {
  for (auto seq = range.first; seq <= range.last; ++seq)
    if (task* t = find(source, seq, "is dispatched")) {
      ++t->dispatched;
      if (t->acked) violation("C5 " + name_of(source, seq) + " is dispatched after its ACK");
    }
}

void checker::started(std::uint32_t source, std::uint64_t seq) {
  task* t = find(source, seq, "is run");
  if (!t) return;
  ++t->started;
  if (t->final_failure && scenario_.fault_free())
    violation("C6 " + name_of(source, seq) + " is run again after a final failure");
}

void checker::ended(std::uint32_t source, std::uint64_t seq, bool ok, bool final) {
  task* t = find(source, seq, "has been run");
  if (!t) return;
  ++(ok ? t->succeeded : t->failed);
  t->final_failure |= !ok && final;
}

void checker::check_failed_for_good(const task& t, const task_spec& spec, status code,
                                    const std::string& name) {
  if (spec.refused || t.final_failure) return;
  // What waits in the connection to a dead worker may reach its successor, which then has it
  // without its having been sent again.
  const bool passed_on = code == status::unavailable && scenario_.sends_wait;
  if (t.dispatched < scenario_.max_attempts && !passed_on)
    violation("C6 " + name + " fails for good (" + std::string(to_string(code)) + ") after " +
              std::to_string(t.dispatched) + " of " + std::to_string(scenario_.max_attempts) +
              " attempts");
  if (code != status::unavailable && t.failed == 0)
    violation("C6 " + name + " fails for good without ever having failed");
  if (!scenario_.only_poison()) return;
  // With several ventilators a worker may die of what another one gave it.
  if (scenario_.max_attempts > 1 && scenario_.ventilators == 1 && !spec.poison &&
      spec.fails == 0)
    violation("C6 " + name + " fails for good: it was beside a task that kills workers");
  if (!scenario_.poison && t.failed < scenario_.max_attempts)
    violation("C6 " + name + " fails for good after " + std::to_string(t.failed) + " failures");
}

void checker::written(std::uint32_t source, std::uint64_t seq, status code,
                      std::string_view payload) {
  task* t = find(source, seq, "is written");
  if (!t) return;
  ++written_;
  const std::string name = name_of(source, seq);
  if (t->written > 0 && !t->may_repeat) violation("C2 " + name + " is written twice");
  t->may_repeat = false;
  ++t->written;
  const task_spec& spec = scenario_.work[source][seq - 1];
  if (code != status::ok) {
    t->gave_up = true;
    check_failed_for_good(*t, spec, code, name);
    return;
  }
  if (t->succeeded == 0) violation("C3 " + name + " is written, but no run of it succeeded");
  if (payload != outcome_of(payload_of(source, seq, spec)))
    violation("C3 " + name + " is written with another payload (" +
              std::to_string(payload.size()) + " bytes)");
}

void checker::check_acked(std::uint32_t source, std::uint64_t low,
                          const proto::seq_ranges& ranges) {
  if (source >= sources_.size()) return violation("C5 an ACK for no source of ours");
  const auto one = [&](std::uint64_t seq) {
    const task* t = find(source, seq, "is acknowledged");
    if (t && t->written == 0)
      violation("C5 " + name_of(source, seq) + " is acknowledged unwritten");
  };
  auto& checked = sources_[source].checked_low;
  for (; checked < low && verdict_.empty(); ++checked) one(checked + 1);
  for (const auto& range : ranges)
    for (auto seq = range.first; seq <= range.last && verdict_.empty(); ++seq) one(seq);
}

void checker::acked(std::uint32_t source, std::uint64_t low, const proto::seq_ranges& ranges) {
  auto& s = sources_[source];
  for (; s.low < low && s.low < s.tasks.size(); ++s.low) s.tasks[s.low].acked = true;
  for (const auto& range : ranges)
    for (auto seq = range.first; seq <= range.last && seq <= s.tasks.size(); ++seq)
      s.tasks[seq - 1].acked = true;
}

void checker::told_committed(std::uint32_t source, const proto::seq_ranges& ranges) {
  for (const auto& range : ranges)
    for (auto seq = range.first; seq <= range.last; ++seq) {
      task* t = find(source, seq, "is COMMITTED");
      // A ventilator says COMMITTED for failures that it has taken note of.
      if (t && t->written == 0 && t->failed == 0)
        violation("C5 " + name_of(source, seq) + " is COMMITTED unwritten");
    }
}

void checker::sink_killed() {
  for (auto& s : sources_)
    for (auto& t : s.tasks) t.may_repeat = t.written > 0 && !t.acked;
}

void checker::abandoned(std::uint32_t source) { sources_[source].abandoned = true; }

void checker::says_complete(std::uint32_t source, const char* who) {
  const auto& s = sources_[source];
  if (s.abandoned) return;
  for (std::uint64_t seq = 1; seq <= s.tasks.size(); ++seq)
    if (s.tasks[seq - 1].written == 0)
      return violation(std::string("C1 the ") + who + " says complete without " +
                       name_of(source, seq));
}

void checker::finish() {
  for (std::uint32_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i].abandoned) continue;
    for (std::uint64_t seq = 1; seq <= sources_[i].tasks.size(); ++seq) {
      const task& t = sources_[i].tasks[seq - 1];
      const task_spec& spec = scenario_.work[i][seq - 1];
      if (t.written == 0) return violation("C1 " + name_of(i, seq) + " is lost");
      if (!scenario_.fault_free()) continue;
      const std::uint32_t runs =
          spec.refused ? 0
          : spec.fails == 0
              ? 1
              : (spec.final ? 1 : std::min(spec.fails + 1, scenario_.max_attempts));
      if (t.started != runs)
        return violation("C6 " + name_of(i, seq) + " ran " + std::to_string(t.started) +
                         " times instead of " + std::to_string(runs) + ", without a fault");
      if (t.gave_up != (spec.refused || (spec.fails > 0 && spec.final) ||
                        spec.fails >= scenario_.max_attempts))
        return violation("C6 " + name_of(i, seq) + " ended " +
                         (t.gave_up ? "as failed" : "as done") + ", without a fault");
    }
  }
}

}  // namespace weir::sim
