#include "feeder.hpp"

#include "block_reader.hpp"
#include "input.hpp"

#include <unistd.h>

#include <utility>

namespace weir::cli::run {
namespace {

std::string joined(const arguments& task) {
  std::string text;
  for (const auto& value : task.values) {
    if (&value != task.values.data()) text += ' ';
    text += value;
  }
  return text;
}

/// What --recend means: \n and the like are one character; it may be empty.
std::string unescaped(const std::string& text) {
  return text.empty() ? text : parse_delimiter(text);
}

}  // namespace

void feeder::feed(ventilator& tasks) {
  if (settings_.pipe) return blocks(tasks);
  if (settings_.coproc.empty()) return values(tasks);
  lines(tasks);
}

void feeder::values(ventilator& tasks) {
  std::uint64_t number = 0;
  const bool listens = !settings_.listen.empty();
  for (arguments values; plan_.next(values, number);) {
    counts_.left_out = plan_.left_out();
    // Here the table has all that is needed. A worker elsewhere gets the value, or a command.
    std::string value, command;
    if (listens) {
      value = joined(values);
      command = encode_command(plan_.command().argv(values, {number}));
    }
    table_.add(++handed_over_, number, std::move(values));
    if (!(listens ? tasks.submit(value, command) : tasks.submit({}))) return;
  }
  counts_.left_out = plan_.left_out();
  rules_.set_total(handed_over_);
}

void feeder::blocks(ventilator& tasks) {
  const std::string usual_end = settings_.record_start.empty() ? "\n" : "";
  block_options how{settings_.block, unescaped(settings_.record_end.value_or(usual_end)),
                    unescaped(settings_.record_start), settings_.most.value_or(0)};
  block_reader blocks(STDIN_FILENO, rules_.closed_fd(), std::move(how));
  const bool listens = !settings_.listen.empty();
  std::string head;
  if (!settings_.header.empty()) head = blocks.first_line();
  for (std::string block; blocks.next(block);) {
    if (!head.empty()) block.insert(0, head);
    const auto seq = ++handed_over_;
    // Here a block is of any size and is not copied; elsewhere it has to travel.
    if (!listens) {
      table_.add(seq, seq, {}, std::move(block));
      if (!tasks.submit({})) return;
      continue;
    }
    table_.add(seq, seq, {});
    const auto command = encode_command(plan_.command().argv({}, {seq}), block);
    if (!tasks.submit(block, command)) return;
  }
  rules_.set_total(handed_over_);
}

void feeder::lines(ventilator& tasks) {
  for (arguments values; plan_.next(values, handed_over_);)
    if (!(values.values.size() == 1 ? tasks.submit(values.values[0])
                                    : tasks.submit(joined(values))))
      return;
  rules_.set_total(handed_over_);
}

}  // namespace weir::cli::run
