#include "result_files.hpp"

#include "io/text.hpp"
#include "proto/utf8.hpp"
#include "replacement.hpp"

#include <weir/error.hpp>

#include <climits>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

namespace weir::cli::run {
namespace {

namespace fs = std::filesystem;

void make_directory(const std::string& path) {
  std::error_code why;
  fs::create_directories(path, why);
  std::error_code unknown;
  if (why && !fs::is_directory(path, unknown))
    throw error(exit_code::cannot_create,
                "--results: cannot create " + path + ": " + why.message());
}

void write_file(const std::string& path, const kept_output& bytes) {
  auto file = io::output::to_file(path, io::if_exists::overwrite);
  bytes.for_each_piece([&](std::string_view piece) { file.write(piece); });
}

/// The first bytes of a name such that something of this length fits behind them; characters
/// stay whole.
std::string_view beginning_of(std::string_view name, std::size_t room_for) {
  std::size_t end = std::min<std::size_t>(name.size(), NAME_MAX - room_for);
  while (end > 0 && end < name.size() &&
         (static_cast<unsigned char>(name[end]) & 0xc0U) == 0x80U)
    --end;
  return name.substr(0, end);
}

/// FNV-1a, in hexadecimal.
std::string digest_of(std::string_view value) {
  std::uint64_t digest = 0xcbf29ce484222325;
  for (const char c : value) digest = (digest ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4)
    text += "0123456789abcdef"[(digest >> shift) & 15U];
  return text;
}

class result_tree final : public result_files {
 public:
  result_tree(std::string root, const template_options& strings)
      : root_(std::move(root)), names_(strings.names), fill_(root_, strings) {
    const auto pieces = parse_pieces(root_, strings);
    if (!pieces.empty() && !pieces[0].instead) fixed_ = pieces[0].text;
  }

  void write(const finished_task& task) override {
    std::string base = fill_.fill(task.record->values, task.where());
    const bool plain = base == root_;
    if (plain) {
      const auto& values = task.record->values.values;
      for (std::size_t i = 0; i < values.size(); ++i)
        base += "/" + (i < names_.size() ? as_file_name(names_[i]) : std::to_string(i + 1)) +
                "/" + as_file_name(values[i]);
      base += '/';
    } else {
      keep_inside(base);
    }
    const bool directory = base.ends_with('/');
    const auto slash = base.rfind('/');
    if (slash != std::string::npos) make_directory(base.substr(0, slash));
    write_file(base + (directory ? "stdout" : ""), task.out);
    write_file(base + (directory ? "stderr" : ".err"), task.err);
    io::output::to_file(base + (directory ? "seq" : ".seq"), io::if_exists::overwrite)
        .write(std::to_string(task.record->number));
  }
  [[nodiscard]] bool is_table() const override { return false; }

 private:
  /// No ".." of a value leads out of the folder that was literally given. If none was, values
  /// are meant to be paths.
  void keep_inside(const std::string& path) const {
    if (fixed_.empty()) return;
    const auto folder = fixed_.substr(0, fixed_.rfind('/') + 1);
    int depth = 0;
    for (const auto& part : fs::path(path.substr(folder.size())).relative_path()) {
      if (part == "..") --depth;
      if (part != ".." && part != "." && !part.empty()) ++depth;
      if (depth < 0)
        throw error(exit_code::usage,
                    "--results " + root_ + ": " + path + " is not in " +
                        (folder.empty() ? "this folder" : folder) +
                        " (--results FOLDER, with no replacement string, makes " +
                        "a name of any value)");
    }
  }

  std::string root_;
  std::string fixed_;  // before the first replacement string
  std::vector<std::string> names_;
  text_template fill_;
};

std::string seconds(double value) {
  std::string text;
  io::append_number(text, value, 3);
  return text;
}

/// What both kinds of table say of a task before its values.
std::vector<std::string> figures(const finished_task& task) {
  return {std::to_string(task.record->number),
          task.host.empty() ? ":" : task.host,
          seconds(task.started),
          seconds(task.runtime),
          std::to_string(task.sent),
          std::to_string(task.received),
          std::to_string(task.end.exit_code),
          std::to_string(task.end.signal)};
}

enum class newlines_within : std::uint8_t { none, quoted };

/// How much of a table is whole rows: what is behind them, a crash has left.
std::uint64_t whole_rows(const std::string& name, newlines_within rows, std::uint64_t& bytes) {
  std::ifstream in(name, std::ios::binary);
  std::uint64_t whole = 0;
  bytes = 0;
  bool quoted = false;
  std::string piece(std::size_t{64} * 1024, '\0');
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())), in.gcount() > 0)
    for (std::streamsize i = 0; i < in.gcount(); ++i) {
      const char c = piece[static_cast<std::size_t>(i)];
      ++bytes;
      if (c == '"' && rows == newlines_within::quoted) quoted = !quoted;
      if (c == '\n' && !quoted) whole = bytes;
    }
  // What could not be read is not what a crash has left.
  if (!in.eof()) throw error(exit_code::io, "--results " + name + ": it cannot be read");
  return whole;
}

/// Opens a table, which nobody else writes meanwhile: a row is written in pieces. True: it has
/// rows.
bool open_table(std::optional<io::output>& file, const std::string& name,
                io::if_exists existing, newlines_within rows) {
  std::uint64_t whole = 0;
  const auto go_on = [&](io::output& table) {
    std::uint64_t bytes = 0;
    whole = whole_rows(name, rows, bytes);
    if (bytes > whole && ::ftruncate(table.fd(), static_cast<off_t>(whole)) != 0)
      throw error(exit_code::io, "--results " + name + ": " + std::strerror(errno));
  };
  file.emplace(io::output::to_file(name, existing, io::claim::alone, go_on));
  return whole > 0;
}

class separated_table final : public result_files {
 public:
  separated_table(const std::string& file, io::if_exists existing, char separator,
                  const command_template& command, std::vector<std::string> names)
      : separator_(separator), command_(command), names_(std::move(names)) {
    begun_ = open_table(file_, file, existing, newlines_within::quoted);
  }

  void write(const finished_task& task) override {
    if (!begun_) head(task.record->values.values.size());
    begun_ = true;
    std::string row;
    for (const auto& figure : figures(task)) add(row, figure);
    add(row, command_.text(task.record->values, task.where()));
    for (const auto& value : task.record->values.values) add(row, value);
    file_->write(row);
    add(task.out);
    file_->write(std::string_view(&separator_, 1));
    add(task.err);
    file_->write("\n");
  }

 private:
  void head(std::size_t columns) {
    std::string row;
    for (const char* name : {"Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive",
                             "Exitval", "Signal", "Command"})
      add(row, name);
    for (std::size_t i = 0; i < columns; ++i)
      add(row, i < names_.size() ? names_[i] : "V" + std::to_string(i + 1));
    add(row, "Stdout");
    file_->write(row + "Stderr\n");
  }

  void add(std::string& row, std::string_view field) const {
    const bool plain =
        field.find_first_of("\" \t\r\n") == field.npos && field.find(separator_) == field.npos;
    if (plain)
      row += field;
    else
      row += '"' + doubled(field) + '"';
    row += separator_;
  }
  void add(const kept_output& bytes) {
    if (bytes.empty()) return;
    file_->write("\"");
    bytes.for_each_piece([&](std::string_view piece) { file_->write(doubled(piece)); });
    file_->write("\"");
  }
  static std::string doubled(std::string_view text) {
    std::string out;
    for (const char c : text) {
      out += c;
      if (c == '"') out += c;
    }
    return out;
  }

  std::optional<io::output> file_;
  char separator_;
  const command_template& command_;
  std::vector<std::string> names_;
  bool begun_ = false;
};

class json_table final : public result_files {
 public:
  json_table(const std::string& file, io::if_exists existing, const command_template& command)
      : command_(command) {
    (void)open_table(file_, file, existing, newlines_within::none);
  }

  void write(const finished_task& task) override {
    static constexpr const char* keys[] = {"Seq",  "Host",    "Starttime", "JobRuntime",
                                           "Send", "Receive", "Exitval",   "Signal"};
    std::string row = "{ ";
    const auto all = figures(task);
    for (std::size_t i = 0; i < all.size(); ++i) {
      row += "\"" + std::string(keys[i]) + "\": ";
      if (i == 1)
        io::append_json_string(row, all[i]);
      else
        row += all[i];
      row += ", ";
    }
    row += "\"Command\": ";
    io::append_json_string(row, command_.text(task.record->values, task.where()));
    row += ", \"V\": [ ";
    const auto& values = task.record->values.values;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) row += ",";
      io::append_json_string(row, values[i]);
    }
    file_->write(row + " ], \"Stdout\": \"");
    add(task.out);
    file_->write("\", \"Stderr\": \"");
    add(task.err);
    file_->write("\" }\n");
  }

 private:
  /// Piece by piece, none of which ends within a character.
  void add(const kept_output& bytes) {
    std::string left;
    const auto put = [this](std::string_view text) {
      std::string quoted;
      io::append_json_string(quoted, text);
      file_->write(std::string_view(quoted).substr(1, quoted.size() - 2));
    };
    bytes.for_each_piece([&](std::string_view piece) {
      left += piece;
      std::size_t whole = left.size();
      for (int back = 0; back < 3 && whole > 0; ++back) {
        const auto byte = static_cast<unsigned char>(left[whole - 1]);
        if (byte < 0x80) break;
        --whole;
        if (byte >= 0xc0) break;
      }
      put(std::string_view(left).substr(0, whole));
      left.erase(0, whole);
    });
    put(left);
  }

  std::optional<io::output> file_;
  const command_template& command_;
};

}  // namespace

std::string as_file_name(std::string_view value) {
  if (value.empty()) return "\\e";
  if (value == "." || value == "..") return "\\" + std::string(value);
  std::string name;
  for (const char c : value) switch (c) {
      case '\\':
        name += "\\\\";
        break;
      case '\t':
        name += "\\t";
        break;
      case '\0':
        name += "\\0";
        break;
      case '/':
        name += "\\_";
        break;
      default:
        name += c;
    }
  if (name.size() <= NAME_MAX) return name;
  const auto ending = "\\~" + digest_of(value);
  return std::string(beginning_of(name, ending.size())) + ending;
}

std::unique_ptr<result_files> open_results(const std::string& where,
                                           const command_template& command,
                                           const template_options& strings,
                                           io::if_exists existing) {
  if (where.ends_with(".csv"))
    return std::make_unique<separated_table>(where, existing, ',', command, strings.names);
  if (where.ends_with(".tsv"))
    return std::make_unique<separated_table>(where, existing, '\t', command, strings.names);
  if (where.ends_with(".json") || where.ends_with(".jsonl"))
    return std::make_unique<json_table>(where, existing, command);
  return std::make_unique<result_tree>(where, strings);
}

}  // namespace weir::cli::run
