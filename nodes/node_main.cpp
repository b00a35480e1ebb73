#include "node_main.hpp"

#include "help.hpp"
#include "io/output.hpp"
#include "man_page.hpp"

#include <weir/error.hpp>
#include <weir/version.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <system_error>

namespace weir::nodes {

namespace {

/// Thrown out of parse() to print and leave: --man needs no other option to be there.
struct print_and_leave {
  std::string text;
};

struct common {
  std::string name;
  int verbose = 0;
  bool quiet = false;

  [[nodiscard]] level shown() const {
    if (quiet) return level::error;
    return verbose == 0 ? level::notice : verbose == 1 ? level::detail : level::trace;
  }
};

std::string default_name() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return std::string(host.data()) + ":" + std::to_string(::getpid());
}

void declare_common(CLI::App& app, const program& about, common& options) {
  if (about.common_options) {
    app.add_flag("-v,--verbose", options.verbose, "Say more; twice: everything");
    app.add_flag("-q,--quiet", options.quiet, "Say nothing but errors");
    app.add_option("--name", options.name,
                   "What this node is called in its peers' messages (if not given: HOST:PID)")
        ->type_name("NAME");
  }
  app.set_config("--config", "",
                 "Read options from FILE, lines such as 'verbose = true'; what is given on the "
                 "command line goes before it")
      ->type_name("FILE");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_help_flag();
  const auto leave = [](std::string text) -> void { throw print_and_leave{std::move(text)}; };
  const bool brief = has_daily_options(app);
  if (brief)
    daily(app.add_flag_callback(
              "--help-all", [&app, &about, leave] { leave(help_text(app, about)); },
              "Print all options and exit"))
        ->configurable(false);
  const std::array<CLI::Option*, 2> informing{
      app.add_flag_callback(
          "-h,--help",
          [&app, &about, leave, brief] {
            leave(help_text(app, about, brief ? help_extent::daily : help_extent::all));
          },
          brief ? "Print the options that are used daily and exit" : "Print this and exit"),
      app.add_flag_callback(
          "--version", [&about, leave] { leave(about.name + " " WEIR_VERSION "\n"); },
          "Print the version and exit")};
  for (CLI::Option* option : informing) option->configurable(false);
  app.add_flag_callback("--man", [&app, &about, leave] { leave(man_page(app, about)); })
      ->configurable(false)
      ->group("");
  app.add_flag_callback("--list-options",
                        [&app, leave] { leave(option_names(app, which_options::all)); })
      ->configurable(false)
      ->group("");
  app.add_flag_callback("--list-value-options",
                        [&app, leave] { leave(option_names(app, which_options::with_value)); })
      ->configurable(false)
      ->group("");
}

int code_of(exit_code code) { return static_cast<int>(code); }

// Runs `action`; what it throws becomes a message and an exit code.
int guarded(console& say, const std::function<int()>& action) {
  try {
    return action();
  } catch (const io::broken_pipe& e) {
    say.detail(e.what());
    return code_of(e.code());
  } catch (const error& e) {
    say.error(e.what());
    return code_of(e.code());
  } catch (const std::bad_alloc&) {
    say.error("out of memory");
  } catch (const std::system_error& e) {
    // Of a thread that cannot be started, the standard library says no more than this.
    const bool thread = e.code() == std::errc::resource_unavailable_try_again;
    say.error(thread ? "cannot start a thread: " + e.code().message() + " (see: ulimit -u -v)"
                     : std::string(e.what()));
  } catch (const std::exception& e) {
    say.error(std::string("unexpected error, a bug in weir: ") + e.what());
  }
  return code_of(exit_code::software);
}

}  // namespace

void occupy_standard_fds() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The wrong way round, so that reading or writing it fails. open() takes the lowest free
    // number, which is this one.
    (void)::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

int node_main(int argc, const char* const* argv, const program& about,
              const std::function<void(CLI::App&)>& declare,
              const std::function<int(node_context&)>& run) {
  occupy_standard_fds();
  std::signal(SIGPIPE, SIG_IGN);
  // A file that may not grow (ulimit -f) is an error like a full disk.
  std::signal(SIGXFSZ, SIG_IGN);

  common options;
  CLI::App app(about.description, about.name);
  app.option_defaults()->always_capture_default();
  declare(app);
  app.option_defaults()->group("Common options");
  declare_common(app, about, options);
  try {
    app.parse(argc, argv);
  } catch (const print_and_leave& asked) {
    console say(about.name, level::notice);
    return guarded(say, [&] {
      io::output::to_fd(STDOUT_FILENO, "standard output").write(asked.text);
      return 0;
    });
  } catch (const CLI::ParseError& e) {
    console say(about.name, level::notice);
    say.error(std::string(e.what()) + " (see " + about.name + " --help)");
    return code_of(exit_code::usage);
  }

  console say(about.name, options.shown());
  if (options.name.empty()) options.name = default_name();
  node_context node{options.name, say};
  const int code = guarded(say, [&] { return run(node); });
  say.clear();
  return code;
}

}  // namespace weir::nodes
