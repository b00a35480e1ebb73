#include "proto/rpc/method_queue.hpp"

#include <algorithm>
#include <iterator>

namespace weir::proto {
namespace {
/// A slice keeps its whole frame in memory: below this share it gets memory of its own.
constexpr std::size_t worth_keeping = 4;
constexpr std::size_t small_frame = 4096;
/// What capacity is measured over: long enough to mean something, or many calls.
constexpr duration quick_measure = std::chrono::milliseconds(100);
constexpr duration slow_measure = std::chrono::seconds(1);
constexpr std::uint64_t enough_calls = 16;
/// References to calls that have gone, beyond those to calls that have not.
constexpr std::size_t dead_tokens = 1024;
}  // namespace

waiting_calls waiting_calls::slice(std::uint64_t offset, std::uint64_t n) const {
  return {arguments.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n)),
          deadline, arrived, options, aside};
}

void waiting_calls::settle() {
  if (arguments.retained() > small_frame &&
      arguments.bytes() < arguments.retained() / worth_keeping)
    arguments = arguments.compacted();
}

std::uint32_t method_queue::fits(const pack& arguments) const {
  const std::uint64_t calls = limits_.calls > ready() ? limits_.calls - ready() : 0;
  const std::size_t bytes = limits_.bytes > bytes_ ? limits_.bytes - bytes_ : 0;
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(calls, arguments.count_within(bytes)));
}

void method_queue::push(std::uint64_t first, waiting_calls calls, time_point now, end where) {
  if (calls.size() == 0) return;
  if (ready() == 0) {
    measured_since_ = now;
    served_ = 0;
  }
  const token t{first, first + calls.size() - 1};
  auto& line = order_[calls.priority()];
  if (where == end::back)
    line.push_back(t);
  else
    line.push_front(t);
  ++tokens_;
  insert(first, std::move(calls));
  compact();
}

void method_queue::insert(std::uint64_t first, waiting_calls calls) {
  expiries_.push_back({calls.deadline, {first, first + calls.size() - 1}});
  std::push_heap(expiries_.begin(), expiries_.end());
  count(calls, true);
  calls_.insert(first, std::move(calls));
}

run_map<waiting_calls>::map_type::const_iterator method_queue::first_in(token& t) const {
  const auto& runs = calls_.runs();
  auto it = runs.upper_bound(t.first);
  if (it != runs.begin()) {
    const auto before = std::prev(it);
    if (before->first + before->second.size() > t.first) return before;
  }
  if (it == runs.end() || it->first > t.last) return runs.end();
  t.first = it->first;
  return it;
}

std::optional<method_queue::run> method_queue::pop(std::uint64_t most) {
  if (most == 0) return std::nullopt;
  for (auto& [priority, line] : order_) {
    while (!line.empty()) {
      token& t = line.front();
      if (first_in(t) == calls_.runs().end()) {
        line.pop_front();
        --tokens_;
        continue;
      }
      run next = take_from(t, most);
      if (t.first > t.last) {
        line.pop_front();
        --tokens_;
      }
      return next;
    }
  }
  return std::nullopt;
}

method_queue::run method_queue::take_from(token& t, std::uint64_t most) {
  const auto found = first_in(t);
  const std::uint64_t past = found->first + found->second.size();
  const std::uint64_t last = std::min({t.last, past - 1, t.first + most - 1});
  std::vector<run> taken;
  remove({t.first, last}, taken);
  t.first = last + 1;
  return std::move(taken.front());
}

std::optional<method_queue::run> method_queue::pop_aside(std::uint64_t whose,
                                                         std::uint64_t most) {
  const auto found = aside_.find(whose);
  if (found == aside_.end() || most == 0) return std::nullopt;
  lines& theirs = found->second;
  std::optional<run> next;
  while (!theirs.empty()) {
    auto& [priority, line] = *theirs.begin();
    while (!line.empty() && (line.front().first > line.front().last ||
                             first_in(line.front()) == calls_.runs().end()))
      line.pop_front();
    if (line.empty()) {
      theirs.erase(theirs.begin());
    } else if (next || priority < top_priority().value_or(0)) {
      return next;
    } else {
      next = take_from(line.front(), most);
    }
  }
  aside_.erase(found);
  return next;
}

void method_queue::served(std::uint64_t calls, time_point now) {
  served_ += calls;
  if (ready() == 0) {
    // What comes next may find other workers.
    capacity_ = 0;
    return;
  }
  const duration span = now - measured_since_;
  if (span < quick_measure || (served_ < enough_calls && span < slow_measure)) return;
  const double rate =
      static_cast<double>(served_) / std::chrono::duration<double>(span).count();
  capacity_ = capacity_ == 0 ? rate : (capacity_ + rate) / 2;
  measured_since_ = now;
  served_ = 0;
}

/// These are in here now, or not any more.
void method_queue::count(const waiting_calls& calls, bool in) {
  const auto change = [in](auto& figure, auto by) { figure = in ? figure + by : figure - by; };
  if (calls.aside) return change(aside_calls_, calls.size());
  change(bytes_, calls.arguments.bytes());
  change(by_priority_[calls.priority()], calls.size());
}

void method_queue::set_aside(std::uint64_t whose, std::uint64_t first, waiting_calls calls) {
  if (calls.size() == 0) return;
  calls.aside = true;
  auto& line = aside_[whose][calls.priority()];
  // What has ended meanwhile is dropped here: nobody else looks at it before resume().
  if (line.size() >= 2 * calls_.runs().size() + dead_tokens)
    std::erase_if(line, [this](token& t) { return first_in(t) == calls_.runs().end(); });
  const token t{first, first + calls.size() - 1};
  if (!line.empty() && first < line.front().first)
    line.push_front(t);  // it was the first before
  else
    line.push_back(t);
  insert(first, std::move(calls));
  compact();
}

void method_queue::resume(std::uint64_t whose, std::uint64_t calls) {
  const auto found = aside_.find(whose);
  if (found == aside_.end()) return;
  for (auto line = found->second.begin(); line != found->second.end() && calls > 0;) {
    auto& [priority, tokens] = *line;
    std::vector<run> back;
    while (!tokens.empty() && calls > 0) {
      token& t = tokens.front();
      if (first_in(t) == calls_.runs().end()) {
        tokens.pop_front();
        continue;
      }
      const std::uint64_t last = t.last - t.first < calls ? t.last : t.first + calls - 1;
      const std::size_t before = back.size();
      remove({t.first, last}, back);
      for (std::size_t i = before; i < back.size(); ++i) calls -= back[i].second.size();
      if (last == t.last)
        tokens.pop_front();
      else
        t.first = last + 1;
    }
    for (auto it = back.rbegin(); it != back.rend(); ++it) {
      order_[priority].push_front({it->first, it->first + it->second.size() - 1});
      ++tokens_;
      count(it->second, true);
      calls_.insert(it->first, std::move(it->second));  // its expiry is noted already
    }
    line = tokens.empty() ? found->second.erase(line) : std::next(line);
  }
  if (found->second.empty()) aside_.erase(found);
}

void method_queue::resume_call(std::uint64_t number) {
  bool is = false;
  calls_.for_overlap({number, number},
                     [&](seq_range, const waiting_calls& calls) { is = calls.aside; });
  if (!is) return;
  std::vector<run> one;
  remove({number, number}, one);
  order_[one[0].second.priority()].push_front({number, number});
  ++tokens_;
  count(one[0].second, true);
  calls_.insert(number, std::move(one[0].second));  // its expiry is noted already
}

/// When nothing is here nothing is set aside, either: its lines may speak of what has ended.
void method_queue::drop_lines() {
  if (calls_.empty()) aside_.clear();
}

void method_queue::remove(seq_range numbers, std::vector<run>& to) {
  calls_.extract(numbers, [&](std::uint64_t first, waiting_calls&& calls) {
    count(calls, false);
    calls.aside = false;
    to.emplace_back(first, std::move(calls));
  });
}

std::vector<method_queue::run> method_queue::displace(std::uint8_t priority,
                                                      std::uint64_t calls, std::size_t bytes) {
  std::vector<run> given_up;
  for (auto line = order_.rbegin(); line != order_.rend() && line->first < priority; ++line) {
    while (!line->second.empty()) {
      const std::uint64_t over_calls =
          ready() + calls > limits_.calls ? ready() + calls - limits_.calls : 0;
      const bool over_bytes = bytes_ + bytes > limits_.bytes;
      if (over_calls == 0 && !over_bytes) return given_up;
      token& t = line->second.back();
      if (first_in(t) == calls_.runs().end()) {
        line->second.pop_back();
        --tokens_;
        continue;
      }
      // By bytes the whole of it goes: what one call takes is not known.
      const std::uint64_t n =
          over_bytes ? t.last - t.first + 1 : std::min(over_calls, t.last - t.first + 1);
      remove({t.last - n + 1, t.last}, given_up);
      if (t.last - t.first + 1 == n) {
        line->second.pop_back();
        --tokens_;
      } else {
        t.last -= n;
      }
    }
  }
  return given_up;
}

std::vector<method_queue::run> method_queue::take(seq_range numbers, which ones) {
  std::vector<run> taken;
  if (ones == which::all) {
    remove(numbers, taken);
    drop_lines();
    return taken;
  }
  std::vector<seq_range> awaited;
  calls_.for_overlap(numbers, [&](seq_range part, const waiting_calls& calls) {
    if (!calls.options || !calls.options->no_reply) awaited.push_back(part);
  });
  for (const seq_range& part : awaited) remove(part, taken);
  drop_lines();
  return taken;
}

std::vector<method_queue::run> method_queue::take_aside(std::uint64_t whose) {
  std::vector<run> taken;
  const auto found = aside_.find(whose);
  if (found == aside_.end()) return taken;
  std::vector<seq_range> theirs;
  for (const auto& [priority, line] : found->second)
    for (const token& t : line)
      calls_.for_overlap({t.first, t.last}, [&](seq_range part, const waiting_calls& calls) {
        if (calls.aside) theirs.push_back(part);
      });
  for (const seq_range& part : theirs) remove(part, taken);
  aside_.erase(found);
  return taken;
}

std::vector<method_queue::run> method_queue::expire(time_point now) {
  std::vector<run> over;
  while (!expiries_.empty() && expiries_.front().at <= now) {
    const seq_range numbers = expiries_.front().numbers;
    std::pop_heap(expiries_.begin(), expiries_.end());
    expiries_.pop_back();
    // The numbers may have been given to others since.
    std::vector<seq_range> due;
    calls_.for_overlap(numbers, [&](seq_range part, const waiting_calls& calls) {
      if (calls.deadline <= now) due.push_back(part);
    });
    for (const seq_range& part : due) remove(part, over);
  }
  drop_lines();
  return over;
}

const waiting_calls* method_queue::front_of(std::deque<token>& line) {
  while (!line.empty()) {
    const auto found = first_in(line.front());
    if (found != calls_.runs().end()) return &found->second;
    line.pop_front();
    --tokens_;
  }
  return nullptr;
}

std::vector<method_queue::run> method_queue::arrived_by(time_point then) {
  std::vector<run> taken;
  for (auto& [priority, line] : order_)
    for (const waiting_calls* next = front_of(line); next && next->arrived <= then;
         next = front_of(line))
      remove({line.front().first, line.front().last}, taken);
  return taken;
}

time_point method_queue::next_expiry() const {
  return empty() || expiries_.empty() ? time_point::max() : expiries_.front().at;
}

time_point method_queue::oldest() {
  time_point first = time_point::max();
  for (auto& [priority, line] : order_)
    if (const waiting_calls* next = front_of(line)) first = std::min(first, next->arrived);
  return first;
}

std::optional<std::uint8_t> method_queue::top_priority() const {
  for (std::size_t p = by_priority_.size(); p-- > 0;)
    if (by_priority_[p] > 0) return static_cast<std::uint8_t>(p);
  return std::nullopt;
}

std::uint64_t method_queue::ahead_of(std::uint8_t priority) const {
  std::uint64_t calls = 0;
  for (std::size_t p = priority; p < by_priority_.size(); ++p) calls += by_priority_[p];
  return calls;
}

void method_queue::compact() {
  const std::size_t live = calls_.runs().size();
  if (tokens_ > 2 * live + dead_tokens) {
    tokens_ = 0;
    for (auto& [priority, line] : order_) {
      std::erase_if(line, [this](token& t) { return first_in(t) == calls_.runs().end(); });
      tokens_ += line.size();
    }
  }
  if (expiries_.size() > 2 * live + dead_tokens) {
    expiries_.clear();
    for (const auto& [first, calls] : calls_.runs())
      expiries_.push_back({calls.deadline, {first, first + calls.size() - 1}});
    std::make_heap(expiries_.begin(), expiries_.end());
  }
}

}  // namespace weir::proto
