#include "gather.hpp"

#include <weir/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

extern char** environ;

namespace weir::cli::run {

namespace {

/// The longest argument that Linux takes, and what xargs(1) takes for all of them together.
constexpr std::size_t most_by_default = 128 * 1024;
/// For variables that tasks get besides the environment of this process.
constexpr std::size_t headroom = 4096;

/// What the system has for arguments and their pointers.
std::size_t system_limit() {
  const long arg_max = ::sysconf(_SC_ARG_MAX);
  const std::size_t most = arg_max > 0 ? static_cast<std::size_t>(arg_max) : most_by_default;
  std::size_t used = headroom;
  for (char** variable = environ; *variable != nullptr; ++variable)
    used += std::string_view(*variable).size() + 1 + sizeof(char*);
  return most - std::min(most, used);
}

class gathered final : public task_source {
 public:
  gathered(std::unique_ptr<task_source> records, const gather_options& options,
           const command_template& command)
      : records_(std::move(records)),
        command_(command),
        most_(options.most),
        slots_(options.fill ? options.slots : 0),
        bytes_(options.max_bytes > 0 ? options.max_bytes : most_by_default) {
    const std::size_t possible =
        command.shell() ? std::min(system_limit_, most_by_default) : system_limit_;
    if (options.max_bytes > possible)
      throw error(exit_code::usage, "-s " + std::to_string(options.max_bytes) +
                                        ": this command can have at most " +
                                        std::to_string(possible) + " bytes");
  }

  bool next(arguments& out) override {
    out.values.clear();
    if (most_ == 0) {
      arguments unused;
      return records_->next(unused);
    }
    records_in_.clear();
    extent size = empty_;
    while (records_in_.size() < most_.value_or(UINT64_MAX) && fetch()) {
      extent longer = size;
      for (const auto& value : waiting_.front().values) longer += command_.of_value(value);
      if (!fits(longer)) {
        if (records_in_.empty()) refuse(longer);
        break;
      }
      size = longer;
      take(out);
    }
    if (slots_ > 0 && !shared_ && records_in_.size() > 1 && !fetch()) share(out);
    return !records_in_.empty();
  }
  [[nodiscard]] std::optional<std::uint64_t> total() const override {
    return most_ == 0 ? records_->total() : std::nullopt;
  }
  [[nodiscard]] std::vector<std::string> names() override { return records_->names(); }

 private:
  using extent = command_template::extent;

  [[nodiscard]] bool fits(const extent& size) const {
    return size.bytes <= bytes_ && size.bytes + size.arguments * sizeof(char*) <= system_limit_;
  }

  [[noreturn]] void refuse(const extent& size) const {
    std::string begin = waiting_.front().values.empty() ? "" : waiting_.front().values[0];
    if (begin.size() > 50) begin = begin.substr(0, 50) + "...";
    throw error(exit_code::usage, "a command with nothing but '" + begin + "' has " +
                                      std::to_string(size.bytes) +
                                      " bytes, which is more than " +
                                      std::to_string(std::min(bytes_, system_limit_)));
  }

  /// Makes sure that there is a record in waiting_.
  bool fetch() {
    if (!waiting_.empty()) return true;
    if (ended_) return false;
    arguments record = std::move(spare_);
    if (!records_->next(record)) {
      ended_ = true;
      return false;
    }
    waiting_.push_back(std::move(record));
    return true;
  }

  void take(arguments& out) {
    spare_ = std::move(waiting_.front());
    waiting_.pop_front();
    records_in_.push_back(spare_.values.size());
    for (auto& value : spare_.values) out.values.push_back(std::move(value));
  }

  /// `out` has the last records that there are: each slot is to get some of them.
  void share(arguments& out) {
    shared_ = true;
    most_ = (records_in_.size() + slots_ - 1) / slots_;
    while (records_in_.size() > *most_) {
      const auto first = out.values.end() - static_cast<std::ptrdiff_t>(records_in_.back());
      waiting_.push_front({{std::move_iterator(first), std::move_iterator(out.values.end())}});
      out.values.erase(first, out.values.end());
      records_in_.pop_back();
    }
  }

  std::unique_ptr<task_source> records_;
  command_template command_;
  std::optional<std::uint64_t> most_;  // records in a task
  std::size_t slots_;                  // 0: nothing is shared out
  std::size_t system_limit_ = system_limit();
  std::size_t bytes_;
  extent empty_ = command_.without_values();

  std::vector<std::size_t> records_in_;  // how many values each record of the task has
  std::deque<arguments> waiting_;
  arguments spare_;
  bool ended_ = false;
  bool shared_ = false;
};

}  // namespace

std::unique_ptr<task_source> gather(std::unique_ptr<task_source> records,
                                    const gather_options& options,
                                    const command_template& command) {
  if (!options.most && !options.fill && options.max_bytes == 0) return records;
  return std::make_unique<gathered>(std::move(records), options, command);
}

}  // namespace weir::cli::run
