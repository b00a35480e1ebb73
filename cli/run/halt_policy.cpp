#include "halt_policy.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace weir::cli::run {
namespace {

constexpr std::uint64_t most_told = 101;

std::string long_form(const std::string& text) {
  if (text == "0") return "never";
  if (text == "1") return "soon,fail=1";
  if (text == "2") return "now,fail=1";
  if (text == "-1") return "soon,success=1";
  if (text == "-2") return "now,success=1";
  if (text.ends_with('%') && text.find_first_not_of("0123456789") == text.size() - 1)
    return "soon,fail=" + text;
  return text;
}

}  // namespace

halt_policy halt_policy::parse(const std::string& text) {
  const auto refuse = [&] {
    throw error(exit_code::usage,
                "--halt " + text +
                    ": expected never, or now or soon, a comma, and fail, success or done with "
                    "= N or N%, such as now,fail=1 or soon,done=10%");
  };
  const std::string full = long_form(text);
  halt_policy p;
  if (full == "never") return p;
  std::string_view rest = full;
  const auto take = [&](std::string_view word) {
    if (!rest.starts_with(word)) return false;
    rest.remove_prefix(word.size());
    return true;
  };
  if (take("now,"))
    p.when_ = decision::now;
  else if (take("soon,"))
    p.when_ = decision::soon;
  else
    refuse();
  if (take("fail="))
    p.why_ = reason::fail;
  else if (take("success="))
    p.why_ = reason::success;
  else if (take("done="))
    p.why_ = reason::done;
  else
    refuse();
  p.percent_ = rest.ends_with('%');
  if (p.percent_) rest.remove_suffix(1);
  if (rest.empty() || rest.find_first_not_of("0123456789.") != rest.npos) refuse();
  p.limit_ = std::strtod(std::string(rest).c_str(), nullptr);
  if (p.limit_ <= 0) refuse();
  return p;
}

halt_policy::decision halt_policy::count(const task_end& end) {
  ++done_;
  if (!end.ok) ++failed_;
  if (when_ == decision::go_on || halted_) return decision::go_on;
  if (why_ == reason::fail && end.ok) return decision::go_on;
  if (why_ == reason::success && !end.ok) return decision::go_on;
  const std::uint64_t reached = why_ == reason::fail      ? failed_
                                : why_ == reason::success ? done_ - failed_
                                                          : done_;
  double needed = limit_;
  if (percent_) {
    if (total_.value_or(0) == 0) return decision::go_on;
    needed = static_cast<double>(*total_) * limit_ / 100;
  }
  if (static_cast<double>(reached) < needed) return decision::go_on;
  halted_ = true;
  if (why_ == reason::success)
    status_ = 0;
  else if (!percent_ && limit_ == 1)
    status_ = end.status();
  else if (percent_)
    status_ = static_cast<int>(
        std::ceil(static_cast<double>(failed_) * 100 / static_cast<double>(*total_)));
  else
    status_ = static_cast<int>(std::min(failed_, most_told));
  return when_;
}

int halt_policy::exit_status() const {
  if (halted_) return status_;
  if (percent_ && done_ > 0)
    return static_cast<int>(
        std::ceil(static_cast<double>(failed_) * 100 / static_cast<double>(done_)));
  return static_cast<int>(std::min(failed_, most_told));
}

}  // namespace weir::cli::run
