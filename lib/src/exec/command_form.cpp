#include "exec/command_form.hpp"

#include <weir/error.hpp>
#include <weir/method.hpp>

#include <algorithm>
#include <string_view>
#include <utility>

namespace weir::exec {
namespace {

/// More than this many arguments are a mistake: {99999}.
constexpr std::size_t most_places = 64;

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// "12" or "name"; not "print $1".
bool is_placeholder(std::string_view inside) {
  if (inside.empty()) return false;
  if (inside[0] != '0' && std::all_of(inside.begin(), inside.end(), is_digit)) return true;
  return is_name_start(inside[0]) && std::all_of(inside.begin(), inside.end(), [](char c) {
           return is_name_start(c) || is_digit(c);
         });
}

/// Calls `found` with the text before and the name in each placeholder; returns the rest.
template <class Found>
std::string_view scan(std::string_view text, Found&& found) {
  std::size_t from = 0;
  for (std::size_t open = 0; (open = text.find('{', open)) != std::string_view::npos;) {
    const auto close = text.find_first_of("{}", open + 1);
    if (close == std::string_view::npos) break;
    const auto inside = text.substr(open + 1, close - open - 1);
    if (text[close] == '}' && is_placeholder(inside) &&
        found(text.substr(from, open - from), inside))
      from = close + 1;
    open = text[close] == '}' ? close + 1 : close;
  }
  return text.substr(from);
}

}  // namespace

std::string argument_template::fill(const std::vector<std::string>& values) const {
  std::string text = texts[0];
  for (std::size_t i = 0; i < places.size(); ++i)
    text.append(values[places[i]]).append(texts[i + 1]);
  return text;
}

command_form command_form::of(const std::vector<std::string>& argv,
                              const std::vector<std::string>& declared) {
  command_form form;
  form.names = declared;
  // Numbers first: names take the places that they leave.
  std::vector<bool> numbered;
  std::vector<std::string> named;
  for (const auto& argument : argv)
    (void)scan(argument, [&](std::string_view, std::string_view inside) {
      if (is_digit(inside[0])) {
        const auto number = inside.size() > 2
                                ? most_places + 1
                                : static_cast<std::size_t>(std::stoul(std::string(inside)));
        if (number > most_places || (!declared.empty() && number > declared.size()))
          throw error(exit_code::usage,
                      "{" + std::string(inside) + "}: there are at most " +
                          std::to_string(declared.empty() ? most_places : declared.size()) +
                          " arguments");
        if (numbered.size() < number) numbered.resize(number);
        numbered[number - 1] = true;
      } else if (declared.empty() &&
                 std::find(named.begin(), named.end(), inside) == named.end()) {
        named.emplace_back(inside);
      }
      return false;
    });
  if (declared.empty()) {
    std::size_t next = 0;
    const auto free_place = [&] {
      while (next < numbered.size() && numbered[next]) ++next;
      return next++;
    };
    std::vector<std::string> by_place(numbered.size());
    for (const auto& name : named) {
      const auto at = free_place();
      if (by_place.size() <= at) by_place.resize(at + 1);
      by_place[at] = name;
    }
    for (std::size_t i = 0; i < by_place.size(); ++i)
      if (by_place[i].empty()) by_place[i] = "arg" + std::to_string(i + 1);
    form.names = std::move(by_place);
  }
  form.placed.resize(form.names.size());

  for (const auto& argument : argv) {
    argument_template t;
    const auto rest = scan(argument, [&](std::string_view before, std::string_view inside) {
      std::size_t at = 0;
      if (is_digit(inside[0])) {
        at = static_cast<std::size_t>(std::stoul(std::string(inside))) - 1;
      } else {
        const auto name = std::find(form.names.begin(), form.names.end(), inside);
        if (name == form.names.end()) return false;
        at = static_cast<std::size_t>(name - form.names.begin());
      }
      form.placed[at] = true;
      t.texts.emplace_back(before);
      t.places.push_back(at);
      return true;
    });
    t.texts.emplace_back(rest);
    form.arguments.push_back(std::move(t));
  }
  return form;
}

}  // namespace weir::exec

namespace weir {

std::string signature_text(const method_description& what) {
  std::string text = "(";
  if (!what.arguments) {
    text += "...";
  } else {
    for (const auto& a : *what.arguments) {
      if (text.size() > 1) text += ", ";
      text += a.name + ": " + a.type;
      if (a.optional && !a.type.ends_with('?')) text += "?";
    }
  }
  text += ") -> " + (what.result.empty() ? "any" : what.result);
  if (what.streams) text += "...";
  return text;
}

std::vector<std::string> split_command(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
      continue;
    }
    in_word = true;
    if (c == '\\' && i + 1 < line.size()) {
      word += line[++i];
    } else if (c == '\'' || c == '"') {
      for (++i; i < line.size() && line[i] != c; ++i) {
        const bool escaped =
            c == '"' && line[i] == '\\' && i + 1 < line.size() &&
            std::string_view("\"\\$`").find(line[i + 1]) != std::string_view::npos;
        if (escaped) ++i;
        word += line[i];
      }
      if (i == line.size())
        throw error(exit_code::usage,
                    std::string("there is no closing ") + c + " in: " + std::string(line));
    } else {
      word += c;
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

}  // namespace weir
