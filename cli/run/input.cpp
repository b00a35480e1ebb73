#include "input.hpp"

#include "columns.hpp"
#include "combine.hpp"
#include "leaf_source.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <utility>

namespace weir::cli::run {

namespace {

[[noreturn]] void usage(const std::string& what) { throw error(exit_code::usage, what); }

std::string name_of(const source_spec& spec) {
  if (spec.what == source_spec::kind::words) return "the values behind :::";
  return spec.file == "-" ? "standard input" : spec.file;
}

char csv_separator(const input_options& options) {
  const std::string text = options.colsep ? parse_delimiter(*options.colsep) : ",";
  if (text.size() != 1 || text == "\"" || text == options.delimiter)
    usage("--colsep '" + *options.colsep +
          "': with --csv it is one character, such as ; or \\t");
  return text[0];
}

pattern column_separator(const std::string& expression) {
  pattern separator(expression, "--colsep");
  if (separator.find(""))
    usage("--colsep '" + expression + "' matches where there is nothing, so between any two " +
          "characters" + (expression == "|" ? "; to split at bars, write '\\|'" : ""));
  return separator;
}

/// One source, in columns.
std::unique_ptr<task_source> open_one(const input_options& options, const source_spec& spec) {
  const bool words = spec.what == source_spec::kind::words;
  auto rows = words ? word_source(spec.words, options) : file_source(spec.file, options);
  if (options.continued) rows = continued_records(std::move(rows), name_of(spec));
  trim how = options.trimmed.value_or(trim::none);
  if (options.csv) {
    rows =
        csv_columns(std::move(rows), csv_separator(options), options.delimiter, name_of(spec));
  } else if (options.colsep || options.header) {
    rows = split_columns(std::move(rows), column_separator(options.colsep.value_or("\t")));
    if (options.colsep) how = options.trimmed.value_or(trim::both);
  }
  rows = trim_values(std::move(rows), how);
  return options.header ? with_header(std::move(rows)) : std::move(rows);
}

/// What interrupted the reading is the end.
class interruptible final : public task_source {
 public:
  interruptible(std::unique_ptr<task_source> from, std::function<bool()> stopped)
      : from_(std::move(from)), stopped_(std::move(stopped)) {}

  bool next(arguments& out) override {
    if (over_ || (stopped_ && stopped_())) return false;
    try {
      over_ = !from_->next(out);
    } catch (const interrupted&) {
      over_ = true;
    }
    return !over_;
  }
  [[nodiscard]] std::optional<std::uint64_t> total() const override {
    try {
      return from_->total();
    } catch (const interrupted&) {
      return std::nullopt;
    }
  }
  [[nodiscard]] std::vector<std::string> names() override {
    try {
      return from_->names();
    } catch (const interrupted&) {
      over_ = true;
      return {};
    }
  }

 private:
  std::unique_ptr<task_source> from_;
  std::function<bool()> stopped_;
  bool over_ = false;
};

void use_standard_input_once(const std::vector<source_spec>& specs) {
  const auto count = std::count_if(specs.begin(), specs.end(), [](const auto& spec) {
    return spec.what == source_spec::kind::file && spec.file == "-";
  });
  if (count > 1) usage("standard input (-) can be one of the sources only once");
}

}  // namespace

command_words take_apart(const std::vector<std::string>& words, const separators& between) {
  const auto& [of_values, of_files] = between;
  const auto like = [](const std::string& word, const std::string& separator) {
    return word == separator || word == separator + "+";
  };
  if (of_values.empty() || of_files.empty() || like(of_values, of_files) ||
      like(of_files, of_values))
    usage("--arg-sep '" + of_values + "' --arg-file-sep '" + of_files +
          "': they cannot be empty or alike");
  const auto is_separator = [&](const std::string& word) {
    return like(word, of_values) || like(word, of_files);
  };
  command_words parts;
  auto at = std::find_if(words.begin(), words.end(), is_separator);
  parts.command.assign(words.begin(), at);
  while (at != words.end()) {
    const std::string& separator = *at++;
    const auto end = std::find_if(at, words.end(), is_separator);
    source_spec spec;
    spec.linked = separator != of_values && separator != of_files;
    if (like(separator, of_files)) {
      if (at == end) usage(separator + " needs a file, or - for standard input, behind it");
      spec.what = source_spec::kind::file;
      for (; at != end; ++at) {
        spec.file = *at;
        parts.sources.push_back(spec);
      }
    } else {
      spec.words.assign(at, end);
      parts.sources.push_back(std::move(spec));
      at = end;
    }
  }
  return parts;
}

trim parse_trim(const std::string& text) {
  if (text == "n") return trim::none;
  if (text == "l") return trim::left;
  if (text == "r") return trim::right;
  if (text == "lr" || text == "rl") return trim::both;
  usage("--trim '" + text + "': it is n, l, r or lr");
}

std::string parse_delimiter(const std::string& text) {
  const auto wrong = [&] {
    usage("'" + text + "' is not a delimiter: it is one or more characters, among them " +
          "\\n \\t \\r \\0 \\\\ \\x41 \\101");
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    if (++i == text.size()) wrong();
    constexpr std::string_view letters = "abfnrtv\\", meant = "\a\b\f\n\r\t\v\\";
    if (const auto at = letters.find(text[i]); at != std::string_view::npos) {
      out += meant[at];
      continue;
    }
    const bool hex = text[i] == 'x';
    if (hex) ++i;
    const std::string digits = text.substr(
        i, std::min(text.find_first_not_of(hex ? "0123456789abcdefABCDEF" : "01234567", i),
                    i + (hex ? 2 : 3)) -
               i);
    if (digits.empty()) wrong();
    const int code = std::stoi(digits, nullptr, hex ? 16 : 8);
    if (code > 255) wrong();
    out += static_cast<char>(code);
    i += digits.size() - 1;
  }
  if (out.empty()) wrong();
  return out;
}

std::unique_ptr<task_source> open(const input_options& options,
                                  const std::vector<source_spec>& given) {
  std::vector<source_spec> specs;
  for (const auto& file : options.files) specs.push_back({source_spec::kind::file, {}, file});
  specs.insert(specs.end(), given.begin(), given.end());
  if (specs.empty()) specs.push_back({source_spec::kind::file, {}, "-"});
  use_standard_input_once(specs);

  std::vector<sources> groups;
  for (const auto& spec : specs) {
    if (groups.empty() || !(spec.linked || options.link)) groups.emplace_back();
    groups.back().push_back(open_one(options, spec));
  }
  sources factors;
  for (auto& group : groups)
    factors.push_back(options.link ? recycled(std::move(group), options.warn)
                                   : linked(std::move(group)));
  auto all = product(std::move(factors), options.skip_blank ? warning() : options.warn);
  if (options.shuffle) all = shuffled(std::move(all), options.seed);
  return std::make_unique<interruptible>(std::move(all), options.stopped);
}

}  // namespace weir::cli::run
