#include "man_page.hpp"

#include "help.hpp"

#include <weir/error.hpp>
#include <weir/version.hpp>

#include <algorithm>
#include <array>
#include <cctype>

namespace weir::nodes {

namespace {

struct exit_status {
  exit_code code;
  std::string_view meaning;
};

// The same for every program: scripts should not have to know which one they called.
constexpr std::array<exit_status, 13> statuses{{
    {exit_code::ok, "All tasks succeeded, and everything is accounted for."},
    {exit_code::some_failed, "Everything is accounted for, and some tasks failed for good."},
    {exit_code::usage, "A bad option, endpoint or configuration file."},
    {exit_code::data, "Malformed input data."},
    {exit_code::no_input, "An input file cannot be opened."},
    {exit_code::unavailable, "No peer within --connect-timeout."},
    {exit_code::software, "A bug in weir."},
    {exit_code::cannot_create, "An output file cannot be created, or exists."},
    {exit_code::io, "Reading or writing failed."},
    {exit_code::in_use, "Another process uses the file; it may work later."},
    {exit_code::protocol, "A peer speaks another version of the protocol, or not weir at all."},
    {exit_code::permission, "An address or a file is not permitted, or --insecure is missing."},
    {exit_code::signalled, "Ended by signal n before the work was complete."},
}};

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

std::string section(std::string_view name) { return ".SH " + upper(name) + "\n"; }

std::string paragraphs(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find("\n\n"));
    text.remove_prefix(std::min(one.size() + 2, text.size()));
    if (!out.empty()) out += ".PP\n";
    out += roff_escape(one) + "\n";
  }
  return out;
}

std::string tagged(const std::string& tag, const std::string& text) {
  return ".TP\n" + tag + "\n" + text + "\n";
}

std::string bold(std::string_view text) { return "\\fB" + roff_escape(text) + "\\fR"; }

// Names bold, the values' names in italics: "-j, --jobs N".
std::string option_tag(const CLI::Option& option) {
  const std::string text = option_synopsis(option);
  if (!option.nonpositional()) return "\\fI" + roff_escape(text) + "\\fR";
  const std::size_t last = text.rfind(" -");
  const std::size_t names = text.find(' ', last == std::string::npos ? 0 : last + 1);
  if (names == std::string::npos) return bold(text);
  return bold(text.substr(0, names)) + " \\fI" + roff_escape(text.substr(names + 1)) + "\\fR";
}

std::string options_section(const CLI::App& app) {
  std::string out = section("options");
  for (const auto& group : option_groups(app)) {
    out += ".SS " + roff_escape(group.name) + "\n";
    for (const auto* option : group.options)
      out += tagged(option_tag(*option), roff_escape(option_description(*option)));
  }
  return out;
}

std::string exit_section(const program& about) {
  std::string out = section("exit status");
  for (const auto& [code, meaning] : about.statuses)
    out += tagged("\\fB" + std::to_string(code) + "\\fR", roff_escape(meaning));
  for (const auto& [code, meaning] : statuses) {
    if (!about.statuses.empty() && code < exit_code::usage) continue;
    out += tagged("\\fB" + std::to_string(static_cast<int>(code)) +
                      (code == exit_code::signalled ? "+n\\fR" : "\\fR"),
                  roff_escape(meaning));
  }
  return out;
}

std::string environment_section(const CLI::App& app) {
  std::string out;
  for (const auto& group : option_groups(app))
    for (const auto* option : group.options)
      if (!option->get_envname().empty())
        out += tagged(bold(option->get_envname()),
                      "Used if " + bold(option->get_name()) +
                          " is given neither as an option nor in a configuration file.");
  return out.empty() ? out : section("environment") + out;
}

std::string examples_section(const program& about) {
  if (about.examples.empty()) return {};
  std::string out = section("examples");
  for (const auto& [text, command] : about.examples)
    out += ".PP\n" + roff_escape(text) + "\n.PP\n.RS 4\n.EX\n" + roff_escape(command) +
           "\n.EE\n.RE\n";
  return out;
}

}  // namespace

std::string roff_escape(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '`':
        out += "\\(ga";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '~':
        out += "\\(ti";
        break;
      default:
        out += c;
    }
    line_start = c == '\n';
  }
  return out;
}

std::string man_page(const CLI::App& app, const program& about) {
  // The page of `weir call` is called weir-call, as git's are.
  std::string page = about.name;
  std::replace(page.begin(), page.end(), ' ', '-');
  // No date: the page is made anew from each version.
  std::string out = ".TH \"" + upper(roff_escape(page)) +
                    "\" 1 \"\" \"weir " WEIR_VERSION "\" \"User Commands\"\n";
  out += section("name") + roff_escape(page) + " \\- " + roff_escape(about.summary) + "\n";
  out += section("synopsis") + bold(about.name) + " " + roff_escape(about.usage) + "\n";
  out += section("description") + paragraphs(about.description);
  out += options_section(app);
  out += exit_section(about);
  out += environment_section(app);
  out += examples_section(about);
  if (!about.see_also.empty()) {
    out += section("see also");
    for (std::size_t i = 0; i < about.see_also.size(); ++i)
      out += (i == 0 ? "" : ",\n") + roff_escape(about.see_also[i]);
    out += "\n";
  }
  return out;
}

}  // namespace weir::nodes
