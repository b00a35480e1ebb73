#include "shell_script.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <utility>

namespace weir::cli::run {

namespace {

/// What a stretch of the script is in; bare: the script itself, or ( ).
enum class context : char {
  bare,
  substitution,  // $( )
  single,
  twice,
  backquotes,
  parameter,   // ${ }
  arithmetic,  // $(( ))
  comment,
};

bool is_script(context c) { return c == context::bare || c == context::substitution; }

class scanner {
 public:
  /// Whether `c` stands between words; otherwise it is part of one.
  bool step(char c, char next);

  struct verdict {
    quoting where;
    bool literally = false;         ///< it is no replacement string here
    bool double_backslash = false;  ///< the backslash before it stands for itself
  };
  verdict place(const std::string& source);

 private:
  [[nodiscard]] context now() const {
    return nested_.empty() ? context::bare : static_cast<context>(nested_.back());
  }
  [[nodiscard]] bool within(context c) const {
    return nested_.find(static_cast<char>(c)) != std::string::npos;
  }
  void push(context c) { nested_ += static_cast<char>(c); }
  void pop() { nested_.pop_back(); }
  [[nodiscard]] bool has_own_rules(context c) const;

  bool escaped_or_dollar(char c, char next);
  bool step_bare(char c, char next);
  void step_parameter(char c, char next);
  bool between_words(char c);

  std::string nested_;      // contexts, the outermost is the first
  bool backslash_ = false;  // the last character was one, and it counts
  char last_ = '\n';        // 'x' if it was quoted
  int smaller_ = 0;         // so many '<' right before
  bool here_document_ = false;
  std::string word_;     // as far as it is bare
  std::string refusal_;  // why nothing can be filled in from here on
};

/// Backslashes, and what begins with a dollar. True: that was all about `c`.
bool scanner::escaped_or_dollar(char c, char next) {
  if (std::exchange(backslash_, false)) {
    last_ = 'x';
    return true;
  }
  if (c == '\\') {
    backslash_ = true;
    return true;
  }
  if (last_ == '$' && c == '(') {
    // A second one right behind makes it arithmetic; if it is $( (subshell) ) after all, what
    // is lost is that values can be filled in there.
    push(next == '(' ? context::arithmetic : context::substitution);
    word_.clear();
    last_ = c;
    return true;
  }
  if (last_ == '$' && c == '{') {
    push(context::parameter);
    last_ = c;
    return true;
  }
  if (c == '`') {
    push(context::backquotes);
    last_ = c;
    return true;
  }
  return false;
}

/// `c` is at the end of word_, and ends it.
bool scanner::between_words(char c) {
  if (word_.starts_with("case") && word_.size() == 5 && within(context::twice))
    refusal_ = "behind `case` in \"$( )\": write it outside the quotes";
  word_.clear();
  last_ = c;
  return true;
}

bool scanner::step_bare(char c, char next) {
  if (c == '<') {
    ++smaller_;
  } else {
    here_document_ |= smaller_ == 2 && is_script(now());
    if (smaller_ != 2 || (c != ' ' && c != '\t')) smaller_ = 0;
  }
  word_ += c;
  if (escaped_or_dollar(c, next)) return false;
  switch (c) {
    case '\n':
      if (here_document_)
        refusal_ = "in or behind a here-document: use printf '%s\\n' ... | command";
      return between_words(c);
    case '\'':
      if (last_ == '$') refusal_ = "behind $'...', which not every sh has: use printf";
      push(context::single);
      break;
    case '"':
      push(context::twice);
      break;
    case '#':
      if (word_.size() == 1 && last_ != 'x') {
        push(context::comment);
        return false;
      }
      break;
    case '(':
      // (( )) is arithmetic too, where sh is bash.
      push(now() == context::arithmetic || next == '(' ? context::arithmetic : context::bare);
      return between_words(c);
    case ')':
      between_words(c);
      // What goes on behind $( ) is the same word, and # in there is no comment.
      if (now() != context::bare) word_ = 'x';
      if (!nested_.empty()) pop();
      return true;
    case ' ':
    case '\t':
    case ';':
    case '&':
    case '|':
    case '<':
    case '>':
      return between_words(c);
    default:
      break;
  }
  last_ = c;
  return false;
}

/// In ${...}. What it holds goes by the rules of what is around it.
void scanner::step_parameter(char c, char next) {
  if (escaped_or_dollar(c, next)) return;
  const bool in_quotes =
      nested_.size() > 1 && static_cast<context>(nested_[nested_.size() - 2]) == context::twice;
  last_ = c;
  if (c == '}') pop();
  if (c == '"') push(context::twice);
  if (c == '\'' && !in_quotes) push(context::single);
}

bool scanner::step(char c, char next) {
  switch (now()) {
    case context::bare:
    case context::substitution:
    case context::arithmetic:
      return step_bare(c, next);
    case context::single:
      last_ = 'x';
      if (c == '\'') pop();
      return false;
    case context::twice:
      if (escaped_or_dollar(c, next)) return false;
      last_ = c;
      if (c == '"') {
        pop();
        last_ = 'x';
      }
      return false;
    case context::backquotes:
      if (std::exchange(backslash_, false)) return false;
      backslash_ = c == '\\';
      if (c == '`') pop();
      last_ = 'x';
      return false;
    case context::parameter:
      step_parameter(c, next);
      return false;
    case context::comment:
      if (c != '\n') return false;
      pop();
      return step_bare(c, next);
  }
  return false;
}

/// Whether we are in `c`, and not in a $( ) in there, where everything begins anew.
bool scanner::has_own_rules(context c) const {
  const auto at = nested_.rfind(static_cast<char>(c));
  return at != std::string::npos &&
         nested_.find(static_cast<char>(context::substitution), at) == std::string::npos;
}

scanner::verdict scanner::place(const std::string& source) {
  const auto refuse = [&](const std::string& why) {
    throw error(exit_code::usage, source + " cannot be filled in " + why);
  };
  const context here = now();
  if (here == context::comment || (is_script(here) && backslash_)) return {quoting::none, true};
  if (!refusal_.empty()) refuse(refusal_);
  if (smaller_ == 2) refuse("behind <<: use printf '%s\\n' ... | command");
  if (within(context::backquotes)) refuse("between backquotes: use $( )");
  if (has_own_rules(context::parameter))
    refuse("in ${ }: say v=" + source + "; and use $v in there");
  if (has_own_rules(context::arithmetic))
    refuse("in $(( )): say n=" + source + "; and use n in there");
  if (last_ == '$' && !backslash_)
    refuse("right behind $: is it ${ } of the shell, or one of the two too much?");
  verdict v{here == context::single  ? quoting::single
            : here == context::twice ? quoting::twice
                                     : quoting::none};
  v.double_backslash = std::exchange(backslash_, false);
  last_ = 'x';
  word_ += 'x';
  smaller_ = 0;
  return v;
}

/// Builds the words while the scanner follows.
class splitter {
 public:
  std::vector<script_word> split(std::vector<piece> pieces) {
    for (auto& p : pieces) {
      if (p.instead)
        fill_in(std::move(*p.instead));
      else
        literal(p.text);
    }
    return std::move(words_);
  }

 private:
  void literal(const std::string& text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool between = scan_.step(text[i], i + 1 < text.size() ? text[i + 1] : '\0');
      if (between && (text[i] == '<' || text[i] == '>')) quote_number();
      if (words_.empty() || between != between_) {
        words_.emplace_back();
        between_ = between;
      }
      auto& parts = words_.back().parts;
      if (parts.empty() || parts.back().instead) parts.emplace_back();
      parts.back().text += text[i];
    }
  }

  /// In "2>file", 2 is a descriptor.
  void quote_number() {
    if (between_ || words_.empty()) return;
    for (auto& part : words_.back().parts) part.always_quoted = true;
  }

  void fill_in(replacement r) {
    const auto v = scan_.place(r.source);
    if (v.literally) return literal(r.source);
    if (v.double_backslash) words_.back().parts.back().text += '\\';
    if (words_.empty() || between_) words_.emplace_back();
    between_ = false;
    words_.back().parts.push_back({{}, std::move(r), v.where});
  }

  scanner scan_;
  std::vector<script_word> words_;
  bool between_ = false;  // the last of words_ is no word
};

}  // namespace

bool script_word::of_all() const {
  return std::any_of(parts.begin(), parts.end(),
                     [](const auto& p) { return p.instead && p.instead->of_all(); });
}

bool script_word::only_all() const {
  return parts.size() == 1 && of_all() && parts[0].where == quoting::none;
}

std::vector<script_word> parse_script(std::vector<piece> pieces) {
  const bool leads = !pieces.empty() && pieces[0].instead;
  auto words = splitter().split(std::move(pieces));
  // Values that are the command, not its arguments.
  if (leads && words[0].parts.size() == 1) words[0].parts[0].raw = true;
  return words;
}

}  // namespace weir::cli::run
