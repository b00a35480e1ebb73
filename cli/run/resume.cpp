#include "resume.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>

namespace weir::cli::run {
namespace {

constexpr std::size_t columns_before_command = 8;

std::optional<std::uint64_t> number_in(std::string_view text) {
  std::uint64_t n = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

std::optional<logged_task> parse(std::string_view line) {
  std::array<std::string_view, columns_before_command> fields;
  for (auto& field : fields) {
    const auto tab = line.find('\t');
    if (tab == line.npos) return std::nullopt;
    field = line.substr(0, tab);
    line.remove_prefix(tab + 1);
  }
  const auto number = number_in(fields[0]);
  if (!number) return std::nullopt;
  logged_task task{*number, fields[6] == "0" && fields[7] == "0", std::string(line)};
  // A line of the log holds one command: NUL stands for a newline in it.
  std::replace(task.command.begin(), task.command.end(), '\0', '\n');
  return task;
}

}  // namespace

void read_joblog(const std::string& file, const std::function<void(logged_task&&)>& each) {
  std::ifstream in(file, std::ios::binary);
  if (!in && errno == ENOENT) return;
  const auto fail = [&](exit_code code, const std::string& why) {
    throw error(code, "joblog " + file + ": " + why);
  };
  if (!in) fail(exit_code::io, std::strerror(errno));
  std::size_t line_number = 0;
  for (std::string line; std::getline(in, line);) {
    ++line_number;
    if (in.eof()) return;
    if (line_number == 1 && line.starts_with("Seq\t")) continue;
    auto task = parse(line);
    if (!task)
      fail(exit_code::data, "line " + std::to_string(line_number) +
                                " is not that of a task (Seq, Host, ..., Command)");
    each(std::move(*task));
  }
}

done_before::done_before(const std::string& joblog, counts what) {
  read_joblog(joblog, [&](logged_task&& task) {
    auto& numbers = numbers_[command_digest(task.command)];
    const auto known = std::find(numbers.begin(), numbers.end(), task.number);
    const bool done = task.ok || what == counts::whatever_came;
    if (done && known == numbers.end())
      numbers.push_back(task.number);
    else if (!done && known != numbers.end())
      numbers.erase(known);
  });
  for (const auto& [command, numbers] : numbers_) left_ += numbers.size();
}

bool done_before::take(std::uint64_t number, std::string_view command) {
  const auto found = numbers_.find(command_digest(command));
  if (found == numbers_.end() || found->second.empty()) return false;
  auto& numbers = found->second;
  const auto same = std::find(numbers.begin(), numbers.end(), number);
  numbers.erase(same != numbers.end() ? same : numbers.begin());
  --left_;
  return true;
}

bool done_before::take_same(std::uint64_t number, std::string_view command) {
  const auto found = numbers_.find(command_digest(command));
  if (found == numbers_.end() || std::erase(found->second, number) == 0) return false;
  --left_;
  return true;
}

/// FNV-1a, twice with different beginnings (http://www.isthe.com/chongo/tech/comp/fnv/).
command_digest::command_digest(std::string_view command)
    : a(0xcbf29ce484222325), b(0x84222325cbf29ce4) {
  constexpr std::uint64_t prime = 0x100000001b3;
  for (const char c : command) {
    const auto byte = static_cast<unsigned char>(c);
    a = (a ^ byte) * prime;
    b = (b ^ (byte + 0x9eU)) * prime;
  }
}

failed_before::failed_before(const std::string& joblog) {
  struct task {
    command_digest what;
    std::optional<std::string> failed;  // the command
  };
  std::unordered_map<std::uint64_t, task> by_number;
  struct displaced_task {
    std::uint64_t number = 0;
    std::optional<std::string> failed;
  };
  std::unordered_map<command_digest, displaced_task, command_digest::hash> displaced;
  read_joblog(joblog, [&](logged_task&& logged) {
    task now{command_digest(logged.command), {}};
    if (!logged.ok) now.failed = std::move(logged.command);
    const auto [it, is_new] = by_number.try_emplace(logged.number, now);
    if (is_new) return;
    task& before = it->second;
    if (!(before.what == now.what))
      displaced.insert_or_assign(before.what,
                                 displaced_task{logged.number, std::move(before.failed)});
    before = std::move(now);
  });
  for (auto& [number, task] : by_number) {
    displaced.erase(task.what);
    if (task.failed) failed_.emplace(number, *std::move(task.failed));
  }
  for (auto& [what, task] : displaced)
    if (task.failed) failed_.emplace(task.number, *std::move(task.failed));
  next_ = failed_.begin();
}

bool failed_before::next(arguments& out) {
  if (next_ == failed_.end()) return false;
  number_ = next_->first;
  out.values = {next_->second};
  ++next_;
  return true;
}

}  // namespace weir::cli::run
