#include "command_template.hpp"

#include "replacement.hpp"
#include "shell_script.hpp"
#include "shell_text.hpp"

#include <algorithm>
#include <utility>

namespace weir::cli::run {

namespace {

/// The longest number.
constexpr std::size_t number_bytes = 20;

bool takes_values(const replacement& r) {
  return r.of_all() || r.what == replacement::kind::column;
}

bool has_instead(const std::vector<piece>& pieces) {
  return std::any_of(pieces.begin(), pieces.end(), [](auto& p) { return p.instead; });
}

std::string with_blanks(const std::vector<std::string>& words) {
  std::string all;
  for (const auto& word : words) all.append(all.empty() ? "" : " ").append(word);
  return all;
}

/// An argument, or as many as there are values.
struct argument_word {
  std::vector<piece> pieces;
  bool has_all = false;   // {} or one of its kind
  bool only_all = false;  // and nothing besides
  bool has_text = false;

  explicit argument_word(std::vector<piece> from) : pieces(std::move(from)) {
    for (const auto& p : pieces) {
      has_all |= p.instead && p.instead->of_all();
      has_text |= !p.instead;
    }
    only_all = has_all && pieces.size() == 1;
    has_text |= pieces.empty();
  }

  /// It is there once for each value.
  [[nodiscard]] bool is_repeated(bool repeat) const { return only_all || (repeat && has_all); }

  /// What it takes besides values.
  [[nodiscard]] command_template::extent fixed() const {
    command_template::extent once{1, 1};
    for (const auto& p : pieces)
      once.bytes += !p.instead ? p.text.size() : takes_values(*p.instead) ? 0 : number_bytes;
    return once;
  }

  void add_to(std::vector<std::string>& argv, const arguments& task, place where, bool repeat,
              bool spread) const {
    if (is_repeated(repeat) && !task.values.empty()) {
      for (const auto& value : task.values) argv.push_back(repeated(value, task, where));
      return;
    }
    std::string text;
    bool found = has_text || argv.empty();  // the command itself is never left out
    for (const auto& p : pieces) {
      if (!p.instead) {
        text += p.text;
        continue;
      }
      bool first = true;
      p.instead->expand(task, where, [&](const std::string& value) {
        if (!std::exchange(first, false)) {
          if (spread)
            argv.push_back(std::exchange(text, {}));
          else
            text += ' ';
        }
        text += value;
        found = true;
      });
    }
    if (found) argv.push_back(std::move(text));
  }

 private:
  [[nodiscard]] std::string repeated(const std::string& value, const arguments& task,
                                     place where) const {
    std::string text;
    for (const auto& p : pieces) {
      if (!p.instead)
        text += p.text;
      else if (p.instead->of_all())
        text += p.instead->changed(value);
      else
        p.instead->expand(task, where, [&](const std::string& v) { text += v; });
    }
    return text;
  }
};

void add_quoted(std::string& out, const script_part& part, std::string_view value) {
  if (part.raw)
    out += value;
  else
    append_quoted(out, value, part.where, part.always_quoted);
}

/// One value for {}, if given; else all, as one word unless they are spread.
void add_word(std::string& out, const script_word& word, const arguments& task, place where,
              const std::string* one, bool spread) {
  for (const auto& part : word.parts) {
    if (!part.instead) {
      out += part.text;
    } else if (!part.instead->of_all()) {
      part.instead->expand(task, where,
                           [&](const std::string& v) { add_quoted(out, part, v); });
    } else if (one != nullptr) {
      add_quoted(out, part, part.instead->changed(*one));
    } else if (spread && part.where == quoting::none) {
      bool first = true;
      part.instead->expand(task, where, [&](const std::string& v) {
        if (!std::exchange(first, false)) out += ' ';
        add_quoted(out, part, v);
      });
    } else {
      std::string all;
      bool first = true;
      part.instead->expand(task, where, [&](const std::string& v) {
        if (!std::exchange(first, false)) all += ' ';
        all += v;
      });
      if (!first) add_quoted(out, part, all);
    }
  }
}

}  // namespace

struct command_template::impl {
  bool repeat = false;
  bool spread = false;
  bool shell = false;
  std::vector<argument_word> words;  // without a shell
  std::vector<script_word> script;

  [[nodiscard]] std::string script_text(const arguments& task, place where) const {
    std::string text;
    for (const auto& word : script) {
      if (task.values.empty() || !(word.only_all() || (repeat && word.of_all()))) {
        add_word(text, word, task, where, nullptr, spread);
        continue;
      }
      bool first = true;
      for (const auto& value : task.values) {
        if (!std::exchange(first, false)) text += ' ';
        add_word(text, word, task, where, &value, spread);
      }
    }
    // sh would take it for an option.
    if (text.starts_with('-') || text.starts_with('+')) text.insert(0, 1, ' ');
    return text;
  }
};

command_template::command_template(const std::vector<std::string>& words,
                                   const template_options& options) {
  refuse_perl(words);
  auto made = std::make_shared<impl>();
  made->repeat = options.repeat;
  made->spread = options.spread;
  std::vector<std::vector<piece>> parsed;
  for (const auto& word : words) parsed.push_back(parse_pieces(word, options));

  piece values{{}, replacement{}};
  values.instead->source = "{}";
  const bool lone_script = parsed.size() == 1 && [&] {
    const auto& pieces = parsed[0];
    return (pieces.size() == 1 && pieces[0].instead) ||
           std::any_of(pieces.begin(), pieces.end(),
                       [](auto& p) { return !p.instead && needs_shell(p.text); });
  }();
  made->shell = !options.quote && (options.shell || words.empty() || lone_script);
  const bool append = std::none_of(parsed.begin(), parsed.end(), has_instead);

  if (made->shell) {
    auto pieces = parse_pieces(with_blanks(words), options);
    if (append && !words.empty()) pieces.push_back({" ", {}});
    if (append) pieces.push_back(values);
    made->script = parse_script(std::move(pieces));
  } else {
    for (auto& pieces : parsed) made->words.emplace_back(std::move(pieces));
    if (append) made->words.emplace_back(std::vector<piece>{values});
  }
  impl_ = std::move(made);
}

bool command_template::shell() const { return impl_->shell; }

std::vector<std::string> command_template::argv(const arguments& task, place where) const {
  if (impl_->shell) return {"/bin/sh", "-c", impl_->script_text(task, where)};
  std::vector<std::string> argv;
  argv.reserve(impl_->words.size() + task.values.size());
  for (const auto& word : impl_->words)
    word.add_to(argv, task, where, impl_->repeat, impl_->spread);
  return argv;
}

std::string command_template::text(const arguments& task, place where) const {
  if (impl_->shell) return impl_->script_text(task, where);
  std::string line;
  for (const auto& word : argv(task, where)) {
    if (!line.empty()) line += ' ';
    line += quoted(word);
  }
  return line;
}

command_template::extent command_template::without_values() const {
  extent all;
  if (impl_->shell)
    for (const auto& word : argv({}, {UINT64_MAX, UINT32_MAX})) all += {word.size() + 1, 1};
  for (const auto& word : impl_->words)
    if (!word.is_repeated(impl_->repeat)) all += word.fixed();
  return all;
}

command_template::extent command_template::of_value(const std::string& value) const {
  extent all;
  for (const auto& word : impl_->words) {
    const bool repeated = word.is_repeated(impl_->repeat);
    if (repeated) all += word.fixed();
    for (const auto& p : word.pieces)
      if (p.instead && takes_values(*p.instead))
        all += {p.instead->changed(value).size() + (repeated ? 0 : 1),
                impl_->spread && !repeated ? 1U : 0U};
  }
  for (const auto& word : impl_->script) {
    std::string once(" ");
    bool used = false;
    for (const auto& part : word.parts) {
      if (!part.instead) {
        once += part.text;
      } else if (takes_values(*part.instead)) {
        append_quoted(once, part.instead->changed(value), part.where, true);
        used = true;
      } else {
        once.append(number_bytes, '0');
      }
    }
    if (used) all.bytes += once.size();
  }
  return all;
}

struct text_template::impl {
  std::vector<piece> pieces;
};

text_template::text_template(const std::string& text, const template_options& options) {
  refuse_perl({text});
  impl_ = std::make_shared<const impl>(impl{parse_pieces(text, options)});
}

std::string text_template::fill(const arguments& task, place where) const {
  std::string text;
  for (const auto& p : impl_->pieces) {
    if (!p.instead) {
      text += p.text;
      continue;
    }
    bool first = true;
    p.instead->expand(task, where, [&](const std::string& value) {
      if (!std::exchange(first, false)) text += ' ';
      text += value;
    });
  }
  return text;
}

}  // namespace weir::cli::run
