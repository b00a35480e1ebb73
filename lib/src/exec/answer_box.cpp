#include "exec/answer_box.hpp"

#include <algorithm>
#include <mutex>
#include <tuple>
#include <utility>

namespace weir::exec {
namespace {

/// Larger results are handed on as they are, not copied into a row with others.
constexpr std::size_t large_result = 16 * 1024;
/// Elements of one stream that travel as one piece.
constexpr std::size_t most_elements_bytes = 256 * 1024;
/// Outcomes of a run share their means of time: those that differ by more stay apart.
constexpr std::uint32_t similar_us = 1000;

std::uint32_t distance(std::uint32_t a, std::uint32_t b) { return a > b ? a - b : b - a; }

std::uint32_t microseconds(proto::duration d) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(d).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(us, 0, UINT32_MAX));
}

}  // namespace

answer_box::timing answer_box::timing::of(proto::duration queued, proto::duration service) {
  return {microseconds(queued), microseconds(service)};
}

void answer_box::answer(const proto::call_key& key, status code, std::string& result,
                        std::unique_ptr<proto::reply_details> details, timing took,
                        proto::time_point now) {
  record r{key, took, 0, static_cast<std::uint32_t>(result.size()), code, std::move(details),
           {}};
  if (result.size() > large_result) {
    r.large = std::make_unique<std::string>(std::move(result));
    result.clear();
  }
  const std::lock_guard held(lock_);
  r.offset = static_cast<std::uint32_t>(contents_.body.size());
  if (!r.large) contents_.body.append(result);
  if (!contents_.records.empty() && key < contents_.records.back().key)
    contents_.ordered = false;
  contents_.records.push_back(std::move(r));
  came(now);
}

void answer_box::element(const proto::call_key& key, std::string& element,
                         proto::time_point now) {
  const std::lock_guard held(lock_);
  auto& all = contents_.streams;
  if (all.empty() || all.back().key != key ||
      all.back().elements.bytes() + element.size() > most_elements_bytes)
    all.push_back({key, {}});
  all.back().elements.add(element);
  came(now);
}

void answer_box::report(const proto::call_key& key, std::uint64_t done, std::uint64_t total,
                        std::string_view text) {
  call_news::reported said{key, done, total,
                           std::string(text.substr(0, proto::limits::text_bytes))};
  const std::lock_guard held(lock_);
  for (auto& old : contents_.reports)
    if (old.key == key) {
      old = std::move(said);
      return;
    }
  contents_.reports.push_back(std::move(said));
}

void answer_box::take(call_news& out) {
  out.clear();
  taken_.records.clear();
  taken_.streams.clear();
  taken_.reports.clear();
  taken_.body.clear();
  taken_.ordered = true;
  {
    const std::lock_guard held(lock_);
    std::swap(taken_, contents_);
    since_.store(nothing, std::memory_order_release);
  }
  out.reports.swap(taken_.reports);
  for (auto& s : taken_.streams) out.elements.push_back({s.key, s.elements.take()});
  if (!taken_.ordered) put_in_order(taken_);
  make_runs(taken_, out);
}

/// Slots finish calls in about their order, not quite: payloads move to where they belong.
void answer_box::put_in_order(contents& what) {
  std::sort(what.records.begin(), what.records.end(),
            [](const record& a, const record& b) { return a.key < b.key; });
  std::string body;
  body.reserve(what.body.size());
  for (auto& r : what.records) {
    const auto offset = static_cast<std::uint32_t>(body.size());
    if (!r.large) body.append(what.body, r.offset, r.length);
    r.offset = offset;
  }
  what.body = std::move(body);
}

bool answer_box::continues(const record& before, const record& after, const record& first) {
  return after.key.from == before.key.from && after.key.call == before.key.call + 1 &&
         after.code == before.code && !after.details == !first.details && !after.large &&
         !first.large && distance(after.took.service_us, first.took.service_us) <= similar_us &&
         distance(after.took.queued_us, first.took.queued_us) <= similar_us;
}

void answer_box::make_runs(contents& what, call_news& out) {
  if (what.records.empty()) return;
  // One row of all payloads, from which the runs are cut.
  std::vector<std::uint32_t> offsets;
  offsets.reserve(what.records.size() + 1);
  bool uniform = true;
  for (const auto& r : what.records) {
    offsets.push_back(r.offset);
    uniform &= !r.large && r.length == what.records.front().length;
  }
  offsets.push_back(static_cast<std::uint32_t>(what.body.size()));
  const auto count = static_cast<std::uint32_t>(what.records.size());
  const auto length = what.records.front().length;
  auto body = proto::blob::from(std::exchange(what.body, {}));
  const proto::pack all = uniform ? proto::pack(std::move(body), count, length)
                                  : proto::pack(std::move(body), std::move(offsets));

  for (std::uint32_t i = 0; i < count;) {
    record& first = what.records[i];
    std::uint32_t n = 1;
    std::uint64_t queued = first.took.queued_us;
    std::uint64_t service = first.took.service_us;
    for (; i + n < count && continues(what.records[i + n - 1], what.records[i + n], first);
         ++n) {
      queued += what.records[i + n].took.queued_us;
      service += what.records[i + n].took.service_us;
    }
    proto::reply_run run;
    run.first = first.key.call;
    run.code = first.code;
    run.results = first.large ? proto::pack::of(std::move(*first.large)) : all.slice(i, n);
    if (first.details)
      for (auto k = i; k < i + n; ++k)
        run.details.push_back(std::move(*what.records[k].details));
    run.queued_us = static_cast<std::uint32_t>(queued / n);
    run.service_us = static_cast<std::uint32_t>(service / n);
    out.answers.push_back({first.key.from, std::move(run)});
    i += n;
  }
}

}  // namespace weir::exec
