#include "replacement.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <array>

namespace weir::cli::run {

namespace {

constexpr int most_columns = 99999;

[[noreturn]] void usage(const std::string& what) { throw error(exit_code::usage, what); }

/// Of GNU parallel's, and not of weir's.
struct refused_form {
  std::string_view inside;
  std::string_view advice;
};
constexpr std::array<refused_form, 7> refused{{
    {"uniq", "filter the input instead"},
    {"choose_k", "filter the input instead"},
    {"slot", "it is {%} here"},
    {"host", "tasks see $HOSTNAME or hostname(1)"},
    {"sshlogin", "there is no ssh in between"},
    {"hgrp", "there are no host groups"},
    {"agrp", "there are no host groups"},
}};

int digits(std::uint64_t n) { return static_cast<int>(std::to_string(n).size()); }

std::string spread(const std::vector<std::string>& words) {
  std::string all;
  for (const auto& word : words) all += (all.empty() ? "" : " ") + word;
  return all;
}

}  // namespace

std::string replacement::number_text(place where) const {
  const std::uint64_t n = what == kind::seq    ? where.seq
                          : what == kind::slot ? where.slot
                                               : total_;
  std::string text = std::to_string(n);
  if (static_cast<int>(text.size()) < width)
    text.insert(0, static_cast<std::size_t>(width) - text.size(), '0');
  return text;
}

struct replacement_parser {
  const template_options& options;

  /// What is between the braces; nothing if it is no replacement string.
  [[nodiscard]] std::optional<replacement> parse(std::string_view inside) const {
    if (auto number = parse_number(inside)) return number;
    if (auto named = parse_named(inside)) return named;
    if (auto column = parse_column(inside)) return column;
    if (inside.empty() && options.replace != "{}") return std::nullopt;
    if (const auto form = parse_form(inside, options.plus)) return all(*form);
    if (options.plus)
      for (const auto& no : refused)
        if (no.inside == inside)
          usage("{" + std::string(inside) + "} is not offered: " + std::string(no.advice));
    return std::nullopt;
  }

  static replacement all(value_form form) {
    replacement r;
    r.form = std::move(form);
    return r;
  }

 private:
  [[nodiscard]] std::optional<replacement> parse_number(std::string_view inside) const {
    replacement r;
    if (inside == "#") {
      r.what = replacement::kind::seq;
    } else if (inside == "%") {
      r.what = replacement::kind::slot;
    } else if (!options.plus) {
      return std::nullopt;
    } else if (inside == "##") {
      r.what = replacement::kind::total;
      r.total_ = total("{##}");
    } else if (inside == "0#") {
      r.what = replacement::kind::seq;
      r.width = digits(total("{0#}"));
    } else if (inside == "0%") {
      r.what = replacement::kind::slot;
      r.width = digits(options.slots.value_or(1));
    } else {
      return std::nullopt;
    }
    return r;
  }

  /// {name} {name.} ...; of several names that fit, the longest.
  [[nodiscard]] std::optional<replacement> parse_named(std::string_view inside) const {
    std::optional<replacement> best;
    std::size_t best_length = 0;
    for (std::size_t i = 0; i < options.names.size(); ++i) {
      const std::string& name = options.names[i];
      if (name.empty() || name.size() <= best_length || !inside.starts_with(name)) continue;
      const auto form = parse_form(inside.substr(name.size()), options.plus);
      if (!form) continue;
      best = of_column(static_cast<int>(i) + 1, *form);
      best_length = name.size();
    }
    return best;
  }

  /// {2} {-1} {2.} ...
  [[nodiscard]] std::optional<replacement> parse_column(std::string_view inside) const {
    const bool negative = inside.starts_with('-');
    std::size_t at = negative ? 1 : 0;
    const std::size_t first = at;
    int column = 0;
    for (; at < inside.size() && inside[at] >= '0' && inside[at] <= '9'; ++at) {
      column = column * 10 + (inside[at] - '0');
      if (column > most_columns)
        usage("{" + std::string(inside) + "}: there are at most " +
              std::to_string(most_columns) + " columns");
    }
    if (at == first || column == 0) return std::nullopt;
    const auto suffix = inside.substr(at);
    // With -I, {2} is text like {}. {2.} is still what {.} is.
    if (suffix.empty() && options.replace != "{}") return std::nullopt;
    const auto form = parse_form(suffix, options.plus);
    if (!form) return std::nullopt;
    return of_column(negative ? -column : column, *form);
  }

  static replacement of_column(int column, value_form form) {
    replacement r;
    r.what = replacement::kind::column;
    r.column = column;
    r.form = std::move(form);
    return r;
  }

  [[nodiscard]] std::uint64_t total(const std::string& what) const {
    if (options.repeat || options.spread)
      usage(what + " does not go with -n, -N and -X: tasks are not counted yet");
    if (!options.total) usage(what + ": how many tasks there are is not known here");
    return *options.total;
  }
};

std::vector<piece> parse_pieces(std::string_view text, const template_options& options) {
  if (options.replace.empty()) usage("-I needs a replacement string that is not empty");
  const replacement_parser parser{options};
  const bool renamed = options.replace != "{}";
  std::vector<piece> pieces;
  const auto literal = [&](char c) {
    if (pieces.empty() || pieces.back().instead) pieces.emplace_back();
    pieces.back().text += c;
  };
  const auto add = [&](replacement r, std::string_view source) {
    r.source = source;
    pieces.push_back({{}, std::move(r)});
  };
  for (std::size_t at = 0; at < text.size();) {
    const auto rest = text.substr(at);
    if (renamed && rest.starts_with(options.replace)) {
      add(replacement_parser::all({}), options.replace);
      at += options.replace.size();
      continue;
    }
    const auto close = rest[0] == '{' ? rest.find('}') : std::string_view::npos;
    if (close != std::string_view::npos) {
      if (auto found = parser.parse(rest.substr(1, close - 1))) {
        add(std::move(*found), rest.substr(0, close + 1));
        at += close + 1;
        continue;
      }
    }
    literal(text[at++]);
  }
  return pieces;
}

namespace {

template <class Which>
bool uses(const std::vector<std::string>& words, const template_options& options,
          Which&& which) {
  auto counted = options;
  counted.total = 1;
  return std::any_of(words.begin(), words.end(), [&](const auto& word) {
    const auto pieces = parse_pieces(word, counted);
    return std::any_of(pieces.begin(), pieces.end(),
                       [&](const auto& p) { return p.instead && which(*p.instead); });
  });
}

}  // namespace

bool uses_total(const std::vector<std::string>& words, const template_options& options) {
  return options.plus && uses(words, options, [](const replacement& r) {
           return r.source == "{##}" || r.source == "{0#}";
         });
}

bool uses_slot(const std::vector<std::string>& words, const template_options& options) {
  return uses(words, options,
              [](const replacement& r) { return r.what == replacement::kind::slot; });
}

void refuse_perl(const std::vector<std::string>& words) {
  const std::string all = spread(words);
  const auto open = all.find("{=");
  if (open == std::string::npos || all.find("=}", open + 2) == std::string::npos) return;
  usage("'" + all.substr(open, all.find("=}", open + 2) + 2 - open) +
        "': Perl is not offered. --plus has {%suffix}, {/re/text}, {:-default} and more; a " +
        "script can do the rest: weir run 'v={}; echo \"${v%%:*}\"'");
}

}  // namespace weir::cli::run
