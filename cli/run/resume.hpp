// What a joblog says was done before: --resume, --resume-failed, --retry-failed.
#pragma once

#include "task_source.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace weir::cli::run {

/// One task of a joblog; of several lines with the same number and command, the last counts.
struct logged_task {
  std::uint64_t number = 0;
  bool ok = false;
  std::string command;
};

/// Reads a joblog, ours or GNU parallel's. No file is an empty one.
/// Errors     weir::error: io; data for what is no joblog, naming the line. A last line that
/// was
///            cut short by a crash is left out.
void read_joblog(const std::string& file, const std::function<void(logged_task&&)>& each);

/// 128 bits of a command: of two commands in a billion, none look alike.
struct command_digest {
  std::uint64_t a = 0, b = 0;
  explicit command_digest(std::string_view command);
  [[nodiscard]] bool operator==(const command_digest&) const = default;
  struct hash {
    std::size_t operator()(const command_digest& d) const { return d.a; }
  };
};

/// Tells whether a task was done in an earlier run, by its command: an edited or re-ordered
/// list is told apart from the old one task by task. Its number only decides between tasks with
/// the same command.
///
/// Memory     About 60 bytes for each task of the log, however long its command.
class done_before {
 public:
  enum class counts : std::uint8_t { whatever_came, successes };
  done_before(const std::string& joblog, counts what);

  /// True: this task is to be left out. Each task of the log stands for one.
  [[nodiscard]] bool take(std::uint64_t number, std::string_view command);
  /// The same, but for one with this number only.
  [[nodiscard]] bool take_same(std::uint64_t number, std::string_view command);
  /// Tasks of the log that nobody has asked for.
  [[nodiscard]] std::uint64_t left() const { return left_; }

 private:
  std::unordered_map<command_digest, std::vector<std::uint64_t>, command_digest::hash> numbers_;
  std::uint64_t left_ = 0;
};

/// What failed according to a joblog, each task's only value being its command. In an edited or
/// re-ordered list another command has its number now; it is still known by what it is, and
/// left out if the log has the same command under another number.
class failed_before final : public task_source {
 public:
  explicit failed_before(const std::string& joblog);
  [[nodiscard]] bool next(arguments& out) override;
  [[nodiscard]] std::optional<std::uint64_t> total() const override { return failed_.size(); }
  /// The number of the task that came last.
  [[nodiscard]] std::uint64_t number() const { return number_; }

 private:
  std::multimap<std::uint64_t, std::string> failed_;
  std::multimap<std::uint64_t, std::string>::const_iterator next_;
  std::uint64_t number_ = 0;
};

}  // namespace weir::cli::run
