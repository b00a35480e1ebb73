#include "term_sequence.hpp"

#include <weir/error.hpp>

#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>

namespace weir::cli::run {
namespace {

std::optional<int> number_in(std::string_view text) {
  if (text.empty() || text.size() > 7) return std::nullopt;
  int n = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    n = 10 * n + (c - '0');
  }
  return n;
}

std::optional<int> signal_in(std::string_view text) {
  if (const auto n = number_in(text)) return *n > 0 && *n < NSIG ? n : std::nullopt;
  if (text.starts_with("SIG")) text.remove_prefix(3);
  for (int n = 1; n < NSIG; ++n)
    if (const char* name = ::sigabbrev_np(n); name && text == name) return n;
  return std::nullopt;
}

}  // namespace

term_sequence term_sequence::parse(const std::string& text) {
  const auto refuse = [&](const std::string& why) {
    throw error(exit_code::usage, "--term-seq " + text + ": " + why +
                                      "; expected signals and milliseconds in turn, such as "
                                      "TERM,200,TERM,100,TERM,50,KILL,25");
  };
  term_sequence all;
  std::string_view rest = text;
  bool waits = false;
  while (true) {
    const auto comma = rest.find(',');
    const auto word = rest.substr(0, comma);
    if (waits) {
      const auto ms = number_in(word);
      if (!ms) refuse("'" + std::string(word) + "' is no number of milliseconds");
      all.steps.back().wait = std::chrono::milliseconds(*ms);
    } else {
      const auto signal = signal_in(word);
      if (!signal) refuse("'" + std::string(word) + "' is no signal");
      all.steps.push_back({*signal, {}});
    }
    waits = !waits;
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (all.steps.back().signal != SIGKILL) all.steps.push_back({SIGKILL, {}});
  return all;
}

void ending::begin(const term_sequence& sequence, proto::time_point now) {
  if (begun()) return;
  sequence_ = &sequence;
  next_ = now;
}

void ending::hurry(proto::time_point now) {
  static const term_sequence at_once{{{SIGKILL, {}}}};
  if (sequence_ == &at_once) return;
  sequence_ = &at_once;
  at_ = 0;
  next_ = now;
}

int ending::due(proto::time_point now) {
  if (now < next_) return 0;
  const auto& step = sequence_->steps[at_];
  ++at_;
  next_ = at_ < sequence_->steps.size() ? now + step.wait : proto::time_point::max();
  return step.signal;
}

}  // namespace weir::cli::run
