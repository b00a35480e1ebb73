#include "plain_nodes.hpp"

namespace weir::nodes {

void add_plain_option(CLI::App& app, plain_settings& target, const std::string& what) {
  app.add_flag("--plain", target.on,
               "Bare PUSH and PULL sockets, one payload per message, for peers that are not "
               "weir; at most once: what is in the buffers of a process that dies is lost. " +
                   what)
      ->group("Plain transport");
}

void add_idle_timeout(CLI::App& app, plain_settings& target) {
  add_duration(app, "--idle-timeout", target.idle_timeout,
               "With --plain: end when nothing has come for this long since a first peer "
               "connected; 0: never")
      ->group("Plain transport");
}

void check_plain(const CLI::App& app, const plain_settings& settings,
                 std::initializer_list<const char*> meaningless) {
  if (settings.on) {
    for (const char* option : meaningless)
      if (app.count(option) > 0)
        throw CLI::ValidationError(option, "means nothing with --plain");
    return;
  }
  for (const char* option : {"--expect", "--idle-timeout"})
    if (app.get_option_no_throw(option) != nullptr && app.count(option) > 0)
      throw CLI::ValidationError(option, "is for --plain only; else the end is known");
}

void warn_of_plain(console& say) {
  say.notice(
      "plain transport, at most once: what is in the buffers of a process that dies is "
      "lost, and nobody is told");
}

}  // namespace weir::nodes
