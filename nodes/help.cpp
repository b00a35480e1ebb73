#include "help.hpp"

#include <algorithm>

namespace weir::nodes {

namespace {

constexpr std::size_t description_column = 26;

/// `text` in lines of at most `width`, each of them after `indent` spaces; its own line breaks
/// stay.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    do {
      std::string_view part = line;
      if (part.size() > width - indent) {
        const std::size_t space = line.rfind(' ', width - indent);
        part = line.substr(0, space == std::string_view::npos ? line.find(' ') : space);
      }
      if (!part.empty()) out.append(indent, ' ');
      out.append(part) += '\n';
      line.remove_prefix(std::min(part.size() + 1, line.size()));
    } while (!line.empty());
  }
  return out;
}

/// CLI11 calls the values of a choice "TEXT:{raw,lines}": that is raw|lines. Other checks are
/// "N:UINT in [1 - 9]": that is N.
std::string value_name(std::string type) {
  const std::size_t open = type.find(":{");
  if (open == std::string::npos || type.back() != '}') return type.substr(0, type.find(':'));
  type = type.substr(open + 2, type.size() - open - 3);
  std::replace(type.begin(), type.end(), ',', '|');
  return type;
}

/// " (1 to 9)" of "N:UINT in [1 - 9]".
std::string range_text(const std::string& type) {
  const std::size_t open = type.find(" in [");
  const std::size_t middle = type.find(" - ", open);
  if (middle == std::string::npos || type.back() != ']') return {};
  return " (" + type.substr(open + 5, middle - open - 5) + " to " +
         type.substr(middle + 3, type.size() - middle - 4) + ")";
}

std::string default_text(const CLI::Option& option) {
  const std::string shown = option.get_default_str();
  if (option.get_type_size() == 0 || shown.empty() || shown == "[]" || shown == "{}") return {};
  return " [default: " + shown + "]";
}

bool is_daily(const CLI::Option* option) { return !option->get_option_text().empty(); }

// Long options line up whether or not there is a short one.
std::string option_head(const CLI::Option& option, const std::string& synopsis) {
  const bool only_long = option.nonpositional() && option.get_snames().empty();
  return (only_long ? "      " : "  ") + synopsis;
}

std::string full_entry(const CLI::Option& option, std::size_t width) {
  const std::string head = option_head(option, option_synopsis(option));
  std::string body = wrapped(option_description(option), description_column, width);
  if (body.empty()) return head + "\n";
  if (head.size() + 2 > description_column) return head + "\n" + body;
  return body.replace(0, head.size(), head);
}

// One line: one name of each kind, and the default if there is room for it.
std::string brief_entry(const CLI::Option& option, std::size_t width) {
  std::string synopsis;
  if (!option.get_snames().empty()) synopsis = "-" + option.get_snames().front();
  if (!option.get_lnames().empty())
    synopsis += (synopsis.empty() ? "--" : ", --") + option.get_lnames().front();
  if (option.get_type_size() != 0) synopsis += " " + value_name(option.get_type_name());
  std::string line = option_head(option, synopsis);
  line.resize(std::max(line.size() + 2, description_column), ' ');
  line += option.get_option_text();
  const std::string standard = default_text(option);
  if (line.size() + standard.size() <= width) line += standard;
  return line + "\n";
}

std::string indented_code(std::string_view code) {
  std::string out = "  ";
  for (const char c : code) {
    out += c;
    if (c == '\n') out += "  ";
  }
  return out + "\n";
}

}  // namespace

std::string option_synopsis(const CLI::Option& option) {
  std::string out;
  if (option.nonpositional()) {
    for (const auto& name : option.get_snames()) out += (out.empty() ? "-" : ", -") + name;
    for (const auto& name : option.get_lnames()) out += (out.empty() ? "--" : ", --") + name;
  } else {
    out = option.get_name(true);
  }
  if (option.get_type_size() != 0 && option.nonpositional() && !option.get_type_name().empty())
    out += " " + value_name(option.get_type_name());
  if (option.get_expected_max() >= CLI::detail::expected_max_vector_size) out += " ...";
  return out;
}

std::string option_description(const CLI::Option& option) {
  std::string out = option.get_description();
  out += range_text(option.get_type_name());
  if (option.get_required()) out += " (required)";
  out += default_text(option);
  if (!option.get_envname().empty()) out += " [env: " + option.get_envname() + "]";
  return out;
}

std::vector<option_group> option_groups(const CLI::App& app) {
  std::vector<option_group> groups;
  const auto add = [&groups](const std::string& name, const CLI::Option* option) {
    auto found = std::find_if(groups.begin(), groups.end(),
                              [&](const option_group& g) { return g.name == name; });
    if (found == groups.end()) found = groups.insert(found, {name, {}});
    found->options.push_back(option);
  };
  const auto shown = [](const CLI::Option* o) { return !o->get_group().empty(); };
  const auto options = app.get_options(shown);
  for (const auto* option : options)
    if (!option->nonpositional()) add("Arguments", option);
  for (const auto* option : options)
    if (option->nonpositional()) add(option->get_group(), option);
  return groups;
}

std::string option_names(const CLI::App& app, which_options which) {
  std::string names;
  for (const auto& group : option_groups(app))
    for (const auto* option : group.options) {
      if (which == which_options::with_value && option->get_items_expected_min() == 0) continue;
      for (const auto& name : option->get_snames()) names += "-" + name + "\n";
      for (const auto& name : option->get_lnames()) names += "--" + name + "\n";
    }
  return names;
}

CLI::Option* daily(CLI::Option* option, const std::string& brief) {
  // CLI11 keeps this text for its own formatter, which is not used here.
  return option->option_text(brief.empty() ? option->get_description() : brief);
}

bool has_daily_options(const CLI::App& app) { return !app.get_options(is_daily).empty(); }

std::string help_text(const CLI::App& app, const program& about, help_extent extent,
                      std::size_t width) {
  const bool brief = extent == help_extent::daily;
  std::string out = "Usage: " + about.name + " " + about.usage + "\n\n";
  out += wrapped(about.description.substr(0, about.description.find("\n\n")), 0, width);
  for (const auto& group : option_groups(app)) {
    std::string entries;
    for (const auto* option : group.options) {
      if (!brief)
        entries += full_entry(*option, width);
      else if (is_daily(option))
        entries += brief_entry(*option, width);
    }
    if (!entries.empty()) out += "\n" + group.name + ":\n" + entries;
  }
  const std::size_t examples = std::min<std::size_t>(about.examples.size(), brief ? 2 : 1);
  for (std::size_t i = 0; i < examples; ++i)
    out += "\nExample: " + about.examples[i].text + "\n" +
           indented_code(about.examples[i].command);
  out += "\n";
  if (brief) out += "All options: " + about.name + " --help-all\n";
  return out + "The whole manual: " + about.name + " --man | man -l -\n";
}

}  // namespace weir::nodes
