#include "pattern.hpp"

#include <weir/error.hpp>

#include <regex.h>

#include <array>

namespace weir::cli::run {

namespace {

constexpr std::string_view special = "\\^$.[]|()?*+{}";

class translator {
 public:
  translator(std::string_view from, const std::string& option) : from_(from), option_(option) {}

  std::string translate() {
    for (; at_ < from_.size(); ++at_) {
      const char c = from_[at_];
      if (c == '\\') {
        escape(next_after_backslash());
      } else if (c == '[') {
        bracket();
      } else if (c == '(' && from_.substr(at_).starts_with("(?")) {
        if (!from_.substr(at_).starts_with("(?:")) refuse("(? other than (?:");
        out_ += '(';
        at_ += 2;
      } else if ((c == '?' || c == '+') && at_ > 0 && is_quantifier(at_ - 1)) {
        refuse("a quantifier of a quantifier, such as *?");
      } else {
        out_ += c;
      }
    }
    return out_;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw error(exit_code::usage, option_ + ": '" + std::string(from_) +
                                      "' is not a POSIX extended regular expression: " + what);
  }

  char next_after_backslash() {
    if (++at_ == from_.size()) refuse("it ends in a backslash");
    return from_[at_];
  }

  /// A quantifier that is not itself escaped.
  [[nodiscard]] bool is_quantifier(std::size_t i) const {
    if (std::string_view("*+?}").find(from_[i]) == std::string_view::npos) return false;
    std::size_t backslashes = 0;
    while (backslashes < i && from_[i - 1 - backslashes] == '\\') ++backslashes;
    return backslashes % 2 == 0;
  }

  static char control(char c) {
    switch (c) {
      case 't':
        return '\t';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 'f':
        return '\f';
      case 'a':
        return '\a';
      case 'e':
        return '\x1b';
      default:
        return c;
    }
  }

  void escape(char c) {
    switch (c) {
      case 'd':
        out_ += "[0-9]";
        return;
      case 'D':
        out_ += "[^0-9]";
        return;
      case 's':
        out_ += "[[:space:]]";
        return;
      case 'S':
        out_ += "[^[:space:]]";
        return;
      case 'w':
        out_ += "[[:alnum:]_]";
        return;
      case 'W':
        out_ += "[^[:alnum:]_]";
        return;
      case 'b':
      case 'B':
        out_ += '\\';
        out_ += c;
        return;
      default:
        break;
    }
    const char plain = control(c);
    if (plain == c &&
        ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
      refuse(std::string("\\") + c);
    if (special.find(plain) != std::string_view::npos) out_ += '\\';
    out_ += plain;
  }

  /// In POSIX a backslash in [ ] is one.
  void bracket() {
    out_ += from_[at_++];
    if (at_ < from_.size() && from_[at_] == '^') out_ += from_[at_++];
    if (at_ < from_.size() && from_[at_] == ']') out_ += from_[at_++];
    for (; at_ < from_.size() && from_[at_] != ']'; ++at_) {
      if (from_[at_] == '[' && from_.substr(at_).starts_with("[:")) {
        const auto end = from_.find(":]", at_ + 2);
        if (end == std::string_view::npos) break;
        out_ += from_.substr(at_, end + 2 - at_);
        at_ = end + 1;
      } else if (from_[at_] == '\\') {
        switch (const char c = next_after_backslash()) {
          case 'd':
            out_ += "0-9";
            break;
          case 's':
            out_ += "[:space:]";
            break;
          case 'w':
            out_ += "[:alnum:]_";
            break;
          case ']':
          case '^':
          case '-':
            refuse(std::string("\\") + c + " in [ ]: put ] first, ^ second, - last");
          default:
            out_ += control(c);
        }
      } else {
        out_ += from_[at_];
      }
    }
    if (at_ == from_.size()) refuse("there is no ] for a [");
    out_ += ']';
  }

  std::string_view from_;
  const std::string& option_;
  std::size_t at_ = 0;
  std::string out_;
};

}  // namespace

struct pattern::compiled {
  compiled(const std::string& expression, std::string_view original,
           const std::string& option) {
    if (const int failed = ::regcomp(&code, expression.c_str(), REG_EXTENDED); failed != 0) {
      std::array<char, 200> why{};
      ::regerror(failed, &code, why.data(), why.size());
      throw error(exit_code::usage,
                  option + ": '" + std::string(original) +
                      "' is not a POSIX extended regular expression: " + why.data());
    }
  }
  ~compiled() { ::regfree(&code); }
  compiled(const compiled&) = delete;
  compiled& operator=(const compiled&) = delete;

  [[nodiscard]] std::optional<hit> find(std::string_view text, std::size_t from) const {
    std::array<regmatch_t, 1> match{};
    match[0].rm_so = static_cast<regoff_t>(from);
    match[0].rm_eo = static_cast<regoff_t>(text.size());
    const int flags = REG_STARTEND | (from > 0 ? REG_NOTBOL : 0);
    // Not NULL even if empty.
    const char* const start = text.data() != nullptr ? text.data() : "";
    if (::regexec(&code, start, match.size(), match.data(), flags) != 0) return std::nullopt;
    return hit{static_cast<std::size_t>(match[0].rm_so),
               static_cast<std::size_t>(match[0].rm_eo)};
  }

  regex_t code{};
};

pattern::pattern(std::string_view expression, const std::string& option) {
  if (!expression.empty() && expression.find_first_of(special) == std::string_view::npos) {
    literal_ = expression;
    return;
  }
  if (expression.find('\0') != std::string_view::npos)
    throw error(exit_code::usage, option + ": a regular expression cannot contain NUL");
  const std::string posix = translator(expression, option).translate();
  const auto compile = [&](const std::string& text) {
    return std::make_shared<const compiled>(text, expression, option);
  };
  anywhere_ = compile(posix);
  at_begin_ = compile("^(" + posix + ")");
  at_end_ = compile("(" + posix + ")$");
  whole_ = compile("^(" + posix + ")$");
}

std::optional<pattern::hit> pattern::find(std::string_view text, std::size_t from) const {
  if (anywhere_) return anywhere_->find(text, from);
  const auto at = text.find(literal_, from);
  if (at == std::string_view::npos) return std::nullopt;
  return hit{at, at + literal_.size()};
}

std::optional<std::size_t> pattern::longest_prefix(std::string_view text) const {
  if (!at_begin_)
    return text.starts_with(literal_) ? std::optional(literal_.size()) : std::nullopt;
  const auto found = at_begin_->find(text, 0);
  return found ? std::optional(found->end) : std::nullopt;
}

std::optional<std::size_t> pattern::shortest_prefix(std::string_view text) const {
  const auto longest = longest_prefix(text);
  if (!whole_ || !longest) return longest;
  for (std::size_t length = 0; length < *longest; ++length)
    if (whole_->find(text.substr(0, length), 0)) return length;
  return longest;
}

std::optional<std::size_t> pattern::longest_suffix(std::string_view text) const {
  if (!at_end_) return text.ends_with(literal_) ? std::optional(literal_.size()) : std::nullopt;
  const auto found = at_end_->find(text, 0);
  return found ? std::optional(text.size() - found->begin) : std::nullopt;
}

std::optional<std::size_t> pattern::shortest_suffix(std::string_view text) const {
  const auto longest = longest_suffix(text);
  if (!whole_ || !longest) return longest;
  for (std::size_t length = 0; length < *longest; ++length)
    if (whole_->find(text.substr(text.size() - length), 0)) return length;
  return longest;
}

}  // namespace weir::cli::run
