#include "value_form.hpp"

#include "pattern.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>

namespace weir::cli::run {

namespace {

using std::string;
using std::string_view;

/// Where the basename begins: after the last slash.
std::size_t basename_at(string_view path) {
  const auto slash = path.rfind('/');
  return slash == string_view::npos ? 0 : slash + 1;
}

/// Where the last `count` extensions begin, at the dot; the end if there are fewer. As in GNU
/// parallel's program, if not its manual, a dot at the end begins one that is empty.
std::size_t extensions_at(string_view path, int count) {
  std::size_t at = path.size();
  for (; count > 0; --count) {
    const auto dot = path.substr(0, at).find_last_of("./");
    if (dot == string_view::npos || path[dot] == '/') return path.size();
    at = dot;
  }
  return at;
}

string without_extensions(string_view path, int count) {
  return string(path.substr(0, extensions_at(path, count)));
}

string base(string_view path) { return string(path.substr(basename_at(path))); }

/// As dirname(1) does it.
string directory(string_view path) {
  const auto last = path.find_last_not_of('/');
  if (last == string_view::npos) return path.empty() ? "." : "/";
  const auto slash = path.substr(0, last + 1).rfind('/');
  if (slash == string_view::npos) return ".";
  const auto end = path.substr(0, slash + 1).find_last_not_of('/');
  return end == string_view::npos ? "/" : string(path.substr(0, end + 1));
}

/// What {+/} needs so that "{+/}/{/}" is "{}" again.
string before_last_slash(string_view path) {
  const auto slash = path.rfind('/');
  return slash == string_view::npos ? "" : string(path.substr(0, slash));
}

string last_extensions(string_view path, int count) {
  const auto at = extensions_at(path, count);
  return at == path.size() ? "" : string(path.substr(at + 1));
}

/// A number of at most nine digits.
std::optional<std::size_t> number(string_view text) {
  if (text.empty() || text.size() > 9) return std::nullopt;
  std::size_t n = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    n = n * 10 + static_cast<std::size_t>(c - '0');
  }
  return n;
}

string option_of(string_view suffix) { return "{" + string(suffix) + "}"; }

/// Replaces matches of `what`; only the first of them unless `all`, and only one at the very
/// beginning if `anchored`.
template <class Replace>
string substitute(string_view value, const pattern& what, bool all, bool anchored,
                  Replace&& replaced) {
  string out;
  std::size_t done = 0;
  for (std::size_t from = 0; from <= value.size();) {
    const auto hit = what.find(value, from);
    if (!hit || (anchored && hit->begin > 0)) break;
    out.append(value.substr(done, hit->begin - done));
    out += replaced(value.substr(hit->begin, hit->end - hit->begin));
    done = hit->end;
    from = hit->end > hit->begin ? hit->end : hit->end + 1;
    if (!all || anchored) break;
  }
  return out.append(value.substr(done));
}

std::optional<value_form> default_or_substring(string_view suffix) {
  const auto rest = suffix.substr(1);
  if (rest.size() > 1 && rest[0] == '-')
    return [instead = string(rest.substr(1))](string_view value) {
      return value.empty() ? instead : string(value);
    };
  const auto colon = rest.find(':');
  const auto begin = number(rest.substr(0, colon));
  if (!begin) return std::nullopt;
  std::size_t length = string::npos;
  if (colon != string_view::npos) {
    const auto given = number(rest.substr(colon + 1));
    if (!given) return std::nullopt;
    length = *given;
  }
  return [from = *begin, length](string_view value) {
    return from >= value.size() ? string() : string(value.substr(from, length));
  };
}

/// #RE ##RE %RE %%RE
std::optional<value_form> strip(string_view suffix) {
  const bool suffixes = suffix[0] == '%';
  const bool longest = suffix.size() > 1 && suffix[1] == suffix[0];
  const auto expression = suffix.substr(longest ? 2 : 1);
  if (expression.empty()) return std::nullopt;
  return [what = pattern(expression, option_of(suffix)), suffixes, longest](string_view value) {
    if (suffixes) {
      const auto n = longest ? what.longest_suffix(value) : what.shortest_suffix(value);
      return string(value.substr(0, value.size() - n.value_or(0)));
    }
    const auto n = longest ? what.longest_prefix(value) : what.shortest_prefix(value);
    return string(value.substr(n.value_or(0)));
  };
}

/// /RE/TEXT //RE/TEXT /#RE/TEXT /%RE/TEXT
std::optional<value_form> replace(string_view suffix) {
  const char where = suffix.size() > 1 ? suffix[1] : '\0';
  const bool all = where == '/';
  const bool prefix = where == '#';
  const bool at_end = where == '%';
  const auto rest = suffix.substr(all || prefix || at_end ? 2 : 1);
  const auto slash = rest.find('/');
  if (slash == string_view::npos || slash == 0) return std::nullopt;
  const pattern what(rest.substr(0, slash), option_of(suffix));
  const string with(rest.substr(slash + 1));
  if (prefix)
    return [what, with](string_view value) {
      const auto n = what.longest_prefix(value);
      return n ? with + string(value.substr(*n)) : string(value);
    };
  if (at_end)
    return [what, with](string_view value) {
      const auto n = what.longest_suffix(value);
      return n ? string(value.substr(0, value.size() - *n)) + with : string(value);
    };
  return [what, with, all](string_view value) {
    return substitute(value, what, all, false,
                      [&](string_view) -> const string& { return with; });
  };
}

/// ^RE ^^RE ,RE ,,RE
std::optional<value_form> change_case(string_view suffix) {
  const bool upper = suffix[0] == '^';
  const bool all = suffix.size() > 1 && suffix[1] == suffix[0];
  const auto expression = suffix.substr(all ? 2 : 1);
  if (expression.empty()) return std::nullopt;
  return [what = pattern(expression, option_of(suffix)), upper, all](string_view value) {
    return substitute(value, what, all, !all, [upper](string_view hit) {
      string changed(hit);
      for (char& c : changed) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80) c = static_cast<char>(upper ? std::toupper(byte) : std::tolower(byte));
      }
      return changed;
    });
  };
}

struct named_form {
  string_view suffix;
  bool plus;
  string (*make)(string_view);
};

constexpr std::array<named_form, 12> named{{
    {".", false, [](string_view v) { return without_extensions(v, 1); }},
    {"/", false, base},
    {"//", false, directory},
    {"/.", false, [](string_view v) { return without_extensions(base(v), 1); }},
    {"..", true, [](string_view v) { return without_extensions(v, 2); }},
    {"...", true, [](string_view v) { return without_extensions(v, 3); }},
    {"/..", true, [](string_view v) { return without_extensions(base(v), 2); }},
    {"/...", true, [](string_view v) { return without_extensions(base(v), 3); }},
    {"+/", true, before_last_slash},
    {"+.", true, [](string_view v) { return last_extensions(v, 1); }},
    {"+..", true, [](string_view v) { return last_extensions(v, 2); }},
    {"+...", true, [](string_view v) { return last_extensions(v, 3); }},
}};

}  // namespace

std::optional<value_form> parse_form(string_view suffix, bool plus) {
  if (suffix.empty()) return value_form();
  for (const auto& form : named)
    if (form.suffix == suffix && (plus || !form.plus)) return form.make;
  if (!plus) return std::nullopt;
  switch (suffix[0]) {
    case ':':
      return default_or_substring(suffix);
    case '#':
    case '%':
      return strip(suffix);
    case '/':
      return replace(suffix);
    case '^':
    case ',':
      return change_case(suffix);
    default:
      return std::nullopt;
  }
}

}  // namespace weir::cli::run
