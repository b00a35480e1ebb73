#include "columns.hpp"

#include "io/record_reader.hpp"
#include "leaf_source.hpp"

#include <weir/error.hpp>

#include <string_view>
#include <utility>

namespace weir::cli::run {

namespace {

/// Sets values one after the other, in the strings that are there already.
class row_writer {
 public:
  explicit row_writer(std::vector<std::string>& row) : row_(row) {}
  std::string& add() {
    if (count_ == row_.size()) row_.emplace_back();
    row_[count_].clear();
    return row_[count_++];
  }
  void done() { row_.resize(count_); }

 private:
  std::vector<std::string>& row_;
  std::size_t count_ = 0;
};

class split_rows final : public task_source {
 public:
  split_rows(std::unique_ptr<task_source> records, pattern separator)
      : records_(std::move(records)), separator_(std::move(separator)) {}

  bool next(arguments& out) override {
    if (!records_->next(record_)) return false;
    const std::string_view record = record_.values[0];
    row_writer row(out.values);
    std::size_t from = 0;
    while (const auto hit = separator_.find(record, from)) {
      row.add() = record.substr(from, hit->begin - from);
      from = hit->end;
    }
    row.add() = record.substr(from);
    row.done();
    return true;
  }
  [[nodiscard]] std::optional<std::uint64_t> total() const override {
    return records_->total();
  }

 private:
  std::unique_ptr<task_source> records_;
  pattern separator_;
  arguments record_;
};

class csv_rows final : public task_source {
 public:
  csv_rows(std::unique_ptr<task_source> records, char separator, std::string delimiter,
           std::string name)
      : records_(std::move(records)),
        separator_(separator),
        delimiter_(std::move(delimiter)),
        name_(std::move(name)) {}

  bool next(arguments& out) override {
    if (!records_->next(record_)) return false;
    ++number_;
    std::string& text = record_.values[0];
    if (number_ == 1 && text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
    row_writer row(out.values);
    for (std::size_t at = 0;;) {
      std::string& field = row.add();
      at = at < text.size() && text[at] == '"' ? quoted(at + 1, field) : plain(at, field);
      if (at == text.size()) break;
      ++at;  // the separator
    }
    row.done();
    return true;
  }

 private:
  /// Both return where the field ends: at a separator, or the end of the text.
  std::size_t plain(std::size_t at, std::string& field) {
    const std::string& text = record_.values[0];
    const auto end = std::min(text.find(separator_, at), text.size());
    field.assign(text, at, end - at);
    if (field.find('"') != std::string::npos)
      wrong("a quote within a field that does not begin with one");
    if (end == text.size() && field.ends_with('\r')) field.pop_back();
    return end;
  }

  std::size_t quoted(std::size_t at, std::string& field) {
    for (;;) {
      const std::string& text = record_.values[0];
      const auto quote = text.find('"', at);
      if (quote == std::string::npos) {
        go_on();
        continue;
      }
      field.append(text, at, quote - at);
      at = quote + 1;
      if (at == text.size() || text[at] == separator_) return at;
      if (text[at] == '\r' && at + 1 == text.size()) return at + 1;
      if (text[at] != '"') wrong("text behind the closing quote of a field");
      field += '"';
      ++at;
    }
  }

  /// The row goes on in the next record.
  void go_on() {
    std::string& text = record_.values[0];
    if (text.size() > proto::limits::payload_bytes) wrong("a quote is not closed");
    if (!records_->next(more_)) wrong("a quote is not closed");
    text.append(delimiter_).append(more_.values[0]);
  }

  [[noreturn]] void wrong(const std::string& what) const {
    throw error(exit_code::data,
                name_ + ": row " + std::to_string(number_) + " is not CSV (RFC 4180): " + what);
  }

  std::unique_ptr<task_source> records_;
  char separator_;
  std::string delimiter_, name_;
  arguments record_, more_;
  std::uint64_t number_ = 0;
};

class trimmed_rows final : public task_source {
 public:
  trimmed_rows(std::unique_ptr<task_source> rows, trim how)
      : rows_(std::move(rows)),
        left_(how == trim::left || how == trim::both),
        right_(how == trim::right || how == trim::both) {}

  bool next(arguments& out) override {
    if (!rows_->next(out)) return false;
    for (auto& value : out.values) {
      if (right_) value.erase(value.find_last_not_of(white_space) + 1);
      if (left_) value.erase(0, value.find_first_not_of(white_space));
    }
    return true;
  }
  [[nodiscard]] std::optional<std::uint64_t> total() const override { return rows_->total(); }

 private:
  std::unique_ptr<task_source> rows_;
  bool left_, right_;
};

class headed_rows final : public task_source {
 public:
  explicit headed_rows(std::unique_ptr<task_source> rows) : rows_(std::move(rows)) {}

  bool next(arguments& out) override {
    read_header();
    return rows_->next(out);
  }
  [[nodiscard]] std::vector<std::string> names() override {
    read_header();
    return header_.values;
  }
  [[nodiscard]] std::optional<std::uint64_t> total() const override {
    const auto all = rows_->total();
    return all && *all > 0 ? std::optional(*all - 1) : all;
  }

 private:
  void read_header() {
    if (!std::exchange(read_, true) && !rows_->next(header_)) header_.values.clear();
  }

  std::unique_ptr<task_source> rows_;
  arguments header_;
  bool read_ = false;
};

}  // namespace

std::unique_ptr<task_source> split_columns(std::unique_ptr<task_source> records,
                                           pattern separator) {
  return std::make_unique<split_rows>(std::move(records), std::move(separator));
}
std::unique_ptr<task_source> csv_columns(std::unique_ptr<task_source> records, char separator,
                                         std::string delimiter, std::string name) {
  return std::make_unique<csv_rows>(std::move(records), separator, std::move(delimiter),
                                    std::move(name));
}
std::unique_ptr<task_source> trim_values(std::unique_ptr<task_source> rows, trim how) {
  if (how == trim::none) return rows;
  return std::make_unique<trimmed_rows>(std::move(rows), how);
}
std::unique_ptr<task_source> with_header(std::unique_ptr<task_source> rows) {
  return std::make_unique<headed_rows>(std::move(rows));
}

}  // namespace weir::cli::run
