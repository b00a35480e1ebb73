// What a run is to do: its command, and what it is to be given.
#pragma once

#include "command_template.hpp"
#include "options.hpp"
#include "resume.hpp"
#include "task_source.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weir::cli::run {

struct plan_options {
  unsigned jobs = 1;
  bool count = false;  ///< total() is wanted: read everything first
  /// Reading ends when wake_fd is readable, and when stopped() says so.
  int wake_fd = -1;
  std::function<bool()> stopped{};
  std::function<void(const std::string&)> warn{};
  /// Called before anything is read, when the outputs are known to be other files.
  std::function<void()> before_reading{};
};

/// Made of what was typed.
///
///   plan what(settings, words, {.jobs = 4});
///   std::uint64_t number = 0;
///   for (arguments values; what.next(values, number);) run(what.command().argv(values,
///   {number}));
///
/// Threads    next(): one. const members: any.
/// Errors     weir::error, as take_apart(), open() and command_template.
class plan {
 public:
  /// Reads what has to be known before the first task: headers; with `count`, {##} and --shuf
  /// everything.
  plan(const settings& s, const std::vector<std::string>& words, plan_options options);

  /// The next task that is to be run, and its {#}. Those that a joblog has are left out.
  [[nodiscard]] bool next(arguments& values, std::uint64_t& number);

  [[nodiscard]] const command_template& command() const { return *command_; }
  [[nodiscard]] const template_options& strings() const { return strings_; }
  /// --tag or --tagstring.
  [[nodiscard]] const std::optional<text_template>& tag() const { return tag_; }
  /// Tasks of the list, those that are left out too; nothing if it was not counted.
  [[nodiscard]] std::optional<std::uint64_t> total() const { return total_; }
  /// How many were left out so far.
  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }
  /// Tasks of the joblog that were not in the list.
  [[nodiscard]] std::uint64_t not_asked_for() const { return done_ ? done_->left() : 0; }

 private:
  [[nodiscard]] bool was_done(const arguments& values, std::uint64_t number);

  template_options strings_;
  std::optional<command_template> command_;
  std::optional<text_template> tag_;
  std::unique_ptr<task_source> source_;
  failed_before* retried_ = nullptr;  // source_, with --retry-failed
  std::optional<done_before> done_;
  bool has_slot_ = false;  // command_
  std::optional<std::uint64_t> total_;
  std::function<bool()> stopped_;
  std::uint64_t number_ = 0;
  std::uint64_t left_out_ = 0;
};

/// Where the joblog is, without the + that says to append to it.
[[nodiscard]] std::string joblog_file(const settings& s);

}  // namespace weir::cli::run
