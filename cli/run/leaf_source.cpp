#include "leaf_source.hpp"

#include "io/record_reader.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <string_view>
#include <utility>

namespace weir::cli::run {

namespace {

bool is_blank(std::string_view text) {
  return text.find_first_not_of(white_space) == std::string_view::npos;
}

class words final : public task_source {
 public:
  words(std::vector<std::string> list, const input_options& options) : words_(std::move(list)) {
    if (!options.end.empty())
      words_.erase(std::find(words_.begin(), words_.end(), options.end), words_.end());
    if (options.skip_blank)
      std::erase_if(words_, [](const auto& word) { return is_blank(word); });
  }

  bool next(arguments& out) override {
    if (next_ == words_.size()) return false;
    out.values.resize(1);
    out.values[0] = words_[next_++];
    return true;
  }
  [[nodiscard]] std::optional<std::uint64_t> total() const override { return words_.size(); }

 private:
  std::vector<std::string> words_;
  std::size_t next_ = 0;
};

class records final : public task_source {
 public:
  records(const std::string& file, const input_options& options)
      : name_(file == "-" ? "standard input" : file),
        end_(options.end),
        skip_blank_(options.skip_blank),
        nul_allowed_(options.nul_allowed),
        reader_({file}, {io::framing::delimited, 0, options.delimiter}, options.wake_fd) {}

  bool next(arguments& out) override {
    for (;;) {
      while (taken_ < batch_.size()) {
        const std::string_view record = batch_[taken_++];
        ++number_;
        if (!end_.empty() && record == end_) {
          taken_ = batch_.size();
          refused_ = false;
          ended_ = true;
          return false;
        }
        if (!nul_allowed_ && record.find('\0') != std::string_view::npos) has_nul();
        if (skip_blank_ && is_blank(record)) continue;
        out.values.resize(1);
        out.values[0] = record;
        return true;
      }
      if (std::exchange(refused_, false)) too_long();
      if (ended_) return false;
      fill();
    }
  }

 private:
  /// Few enough at a time that what has been read and not been used is small.
  static constexpr std::uint32_t batch_records = 1024;
  static constexpr std::size_t batch_bytes = 64 * 1024;

  void fill() {
    const io::fill got = reader_.read_into(builder_, batch_records, batch_bytes);
    batch_ = builder_.take();
    taken_ = 0;
    ended_ = got == io::fill::end;
    refused_ = got == io::fill::oversize;
    if (got == io::fill::woken) throw interrupted{};
  }

  [[noreturn]] void too_long() const {
    const auto& what = reader_.refused();
    throw error(exit_code::data, name_ + ": record " + std::to_string(what.number) + " has " +
                                     std::to_string(what.bytes) +
                                     " bytes, more than any command can be given " +
                                     "(is it separated by something else? see -0 and -d)");
  }

  /// To execve(2) it would be the end of the argument.
  [[noreturn]] void has_nul() const {
    throw error(exit_code::data, name_ + ": record " + std::to_string(number_) +
                                     " has a NUL byte, which no argument can have (do values " +
                                     "end with NUL? see -0)");
  }

  std::string name_;
  std::string end_;
  bool skip_blank_, nul_allowed_;
  std::uint64_t number_ = 0;
  io::record_reader reader_;
  proto::pack_builder builder_;
  proto::pack batch_;
  std::uint32_t taken_ = 0;
  bool ended_ = false;
  bool refused_ = false;
};

class continued final : public task_source {
 public:
  continued(std::unique_ptr<task_source> rows, std::string name)
      : rows_(std::move(rows)), name_(std::move(name)) {}

  bool next(arguments& out) override {
    if (!rows_->next(out)) return false;
    std::string& record = out.values[0];
    while ((record.ends_with(' ') || record.ends_with('\t')) && rows_->next(more_)) {
      record += more_.values[0];
      if (record.size() > proto::limits::payload_bytes)
        throw error(exit_code::data, name_ +
                                         ": with -L, a record that ends with a blank goes on " +
                                         "in the next, and here that has no end");
    }
    return true;
  }

 private:
  std::unique_ptr<task_source> rows_;
  std::string name_;
  arguments more_;
};

}  // namespace

std::unique_ptr<task_source> continued_records(std::unique_ptr<task_source> rows,
                                               std::string name) {
  return std::make_unique<continued>(std::move(rows), std::move(name));
}

std::unique_ptr<task_source> word_source(std::vector<std::string> list,
                                         const input_options& options) {
  return std::make_unique<words>(std::move(list), options);
}

std::unique_ptr<task_source> file_source(const std::string& file,
                                         const input_options& options) {
  return std::make_unique<records>(file, options);
}

}  // namespace weir::cli::run
