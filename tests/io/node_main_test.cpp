#include "node_main.hpp"

#include "io/output.hpp"
#include "io_support.hpp"
#include "man_page.hpp"
#include "signals.hpp"

#include <weir/error.hpp>

#include <poll.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::io_test;
using namespace weir::nodes;

namespace {

const program about{
    "weir-sample",
    "show what a program looks like",
    "[OPTION...] [FILE...]",
    "Does nothing with 'FILE', which is \\fine, and says so in a paragraph that is longer than "
    "one line of a terminal.\n\n.And has a second paragraph that starts with a dot.",
    {{"Read a list", "weir-sample --block 1M list.txt |\n  grep -v '^#' > 'out put'"},
     {"Nothing", "weir-sample"}},
    {"weir-worker(1)", "weir-sink(1)"}};

struct settings {
  std::vector<std::string> bind{"tcp://127.0.0.1:5558"};
  std::chrono::milliseconds timeout{90'000};
  std::size_t block = 1 << 20;
  int window = 7;
  std::string format = "raw";
  bool tag = false;
  std::vector<std::string> files;
};

void declare(CLI::App& app, settings& s) {
  add_endpoints(app, "-b,--bind", s.bind, "WEIR_SAMPLE_BIND", "Where to listen");
  add_duration(app, "--timeout", s.timeout, "How long to wait");
  add_size(app, "--block", s.block, "How much to read")->group("Input");
  app.add_option("-w,--window", s.window, "How many to hold");
  app.add_option("--format", s.format, "How to write")->check(CLI::IsMember({"raw", "lines"}));
  app.add_flag("--tag", s.tag, "Prefix lines");
  app.add_option("FILE", s.files, "What to read");
}

struct ended {
  int code = -1;
  std::string out;
  std::string err;
};

// Runs a program in a child process, whose standard output and error are what it has printed:
// less than a pipe holds.
ended in_child(const std::function<int()>& program_main) {
  pipe_ends out;
  pipe_ends err;
  std::fflush(nullptr);  // or the child writes it once more
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(out.write_end, STDOUT_FILENO);
    ::dup2(err.write_end, STDERR_FILENO);
    ::_exit(program_main());
  }
  REQUIRE(child > 0);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  pipe_ends::close(out.write_end);
  pipe_ends::close(err.write_end);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, out.take(), err.take()};
}

int start(std::vector<const char*> arguments, settings& s,
          const std::function<int(node_context&)>& run) {
  arguments.insert(arguments.begin(), "/usr/bin/weir-sample");
  return node_main(
      static_cast<int>(arguments.size()), arguments.data(), about,
      [&](CLI::App& app) { declare(app, s); }, run);
}

ended run_sample(
    const std::vector<const char*>& arguments,
    const std::function<void(node_context&)>& body = [](node_context&) {}) {
  return in_child([&] {
    settings s;
    return start(arguments, s, [&](node_context& node) {
      body(node);
      std::string text = "window " + std::to_string(s.window) + " block " +
                         std::to_string(s.block) + " timeout " + format_interval(s.timeout);
      for (const auto& one : s.bind) text += " bind " + one;
      for (const auto& one : s.files) text += " file " + one;
      io::output::to_fd(STDOUT_FILENO, "standard output").write(text + "\n");
      return 0;
    });
  });
}

bool has(const std::string& text, std::string_view part) {
  if (text.find(part) != std::string::npos) return true;
  MESSAGE("not in: " << text);
  return false;
}

}  // namespace

TEST_SUITE("programs") {
  TEST_CASE("defaults, options, and values that do not swallow what follows") {
    CHECK(run_sample({}).out ==
          "window 7 block 1048576 timeout 90s bind tcp://127.0.0.1:5558\n");
    CHECK(run_sample({"--bind", "ipc://a", "file1", "-b", "ipc://b,ipc://c", "--block", "2K",
                      "--timeout", "500ms", "-w3", "--", "--file2"})
              .out ==
          "window 3 block 2048 timeout 500ms bind ipc://a bind ipc://b bind "
          "ipc://c file file1 file --file2\n");
  }

  TEST_CASE(
      "the command line goes before the configuration file, and that before the environment") {
    const temp_dir dir;
    const std::string config = dir.file("weir.conf", "bind = \"ipc://file\"\nwindow = 5\n");
    ::setenv("WEIR_SAMPLE_BIND", "ipc://env1,ipc://env2", 1);
    CHECK(has(run_sample({}).out, "bind ipc://env1 bind ipc://env2\n"));
    CHECK(has(run_sample({"--config", config.c_str()}).out, "window 5"));
    CHECK(has(run_sample({"--config", config.c_str()}).out, "bind ipc://file\n"));
    CHECK(has(run_sample({"--config", config.c_str(), "-b", "ipc://x"}).out, "bind ipc://x\n"));
    ::unsetenv("WEIR_SAMPLE_BIND");
  }

  TEST_CASE(
      "mistakes on the command line are exit code 64 and one line that names the option") {
    const temp_dir dir;
    const std::string typo = dir.file("typo.conf", "widnow = 5\n");
    for (const std::vector<const char*>& arguments :
         std::vector<std::vector<const char*>>{{"--no-such-option"},
                                               {"--window", "many"},
                                               {"--window"},
                                               {"--timeout", "soon"},
                                               {"--block", "-1"},
                                               {"--block", "1X"},
                                               {"--config", "/nonexistent/weir.conf"},
                                               {"--config", typo.c_str()}}) {
      const ended mistake = run_sample(arguments);
      CAPTURE(mistake.err);
      CHECK(mistake.code == 64);
      CHECK(mistake.out.empty());
      CHECK(mistake.err.starts_with("weir-sample: "));
      CHECK(mistake.err.ends_with("(see weir-sample --help)\n"));
      CHECK(std::count(mistake.err.begin(), mistake.err.end(), '\n') == 1);
      const std::string_view named = arguments.size() < 2 || arguments[1] != typo
                                         ? std::string_view(arguments[0]).substr(2)
                                         : "widnow";
      if (named != "config") CHECK(has(mistake.err, named));
    }
  }

  TEST_CASE(
      "--help shows defaults, groups, the environment and an example; --version the version") {
    const ended help = run_sample({"--help"});
    CHECK(help.code == 0);
    CHECK(help.err.empty());
    CHECK(help.out.starts_with("Usage: weir-sample [OPTION...] [FILE...]\n\nDoes nothing"));
    CHECK(has(help.out, "      --format raw|lines  How to write [default: raw]\n"));
    CHECK(
        has(help.out, "\nInput:\n      --block SIZE        How much to read [default: 1M]\n"));
    CHECK(has(help.out, "  -b, --bind ENDPOINT ..."));
    CHECK(has(help.out, "[default: tcp://127.0.0.1:5558]"));
    CHECK(has(help.out, "WEIR_SAMPLE_BIND]"));
    CHECK(has(help.out, "  -w, --window INT        How many to hold [default: 7]\n"));
    CHECK(has(help.out, "\nExample: Read a list\n  weir-sample --block 1M list.txt |\n"));
    CHECK(help.out.find("--man\n") == std::string::npos);
    for (std::size_t at = 0, end = 0; at < help.out.size(); at = end + 1) {
      end = help.out.find('\n', at);
      CHECK(end - at <= 80);
    }
    CHECK(run_sample({"--version"}).out.starts_with("weir-sample "));
  }

  TEST_CASE("errors end a program with their own code and one line") {
    const ended refused = run_sample(
        {}, [](node_context&) { throw error(exit_code::cannot_create, "results.txt exists"); });
    CHECK(refused.code == 73);
    CHECK(refused.err == "weir-sample: results.txt exists\n");
    const ended bug = run_sample({}, [](node_context&) { throw std::out_of_range("at"); });
    CHECK(bug.code == 70);
    CHECK(has(bug.err, "a bug in weir: at\n"));
    const ended quiet = run_sample({"-q", "--name", "n"}, [](node_context& node) {
      node.say.notice("not shown");
      CHECK(node.name == "n");
    });
    CHECK(quiet.err.empty());
  }

  TEST_CASE("when nobody reads the output, the program ends with 141 and without a word") {
    const auto into_closed_pipe = [](const std::vector<const char*>& arguments) {
      return in_child([&] {
        pipe_ends gone;
        ::dup2(gone.write_end, STDOUT_FILENO);
        pipe_ends::close(gone.read_end);
        pipe_ends::close(gone.write_end);
        settings s;
        return start(arguments, s, [](node_context&) {
          io::output::to_fd(STDOUT_FILENO, "standard output").write("x");
          return 0;
        });
      });
    };
    CHECK(into_closed_pipe({}).code == 141);
    CHECK(into_closed_pipe({}).err.empty());
    CHECK(into_closed_pipe({"--help"}).code == 141);
  }

  TEST_CASE("with standard output closed, results do not vanish: that is an I/O error") {
    const ended closed = in_child([] {
      ::close(STDIN_FILENO);
      ::close(STDOUT_FILENO);
      settings s;
      return start({}, s, [](node_context&) {
        io::output::to_fd(STDOUT_FILENO, "standard output").write("x");
        return 0;
      });
    });
    CHECK(closed.code == 74);
    CHECK(closed.err == "weir-sample: writing standard output: Bad file descriptor\n");
  }

  TEST_CASE("lengths of time and sizes are read and shown in handy units") {
    CHECK(parse_duration("10") == 10s);
    CHECK(parse_duration("0.5s") == 500ms);
    CHECK(parse_duration("1.5m") == 90s);
    CHECK(parse_duration("2h") == 2h);
    CHECK(parse_duration("1d3.5h16.6m4s") == 100'000s);
    CHECK(parse_duration("1m30") == 90s);
    for (const auto* bad : {"1m-1s", "1mx", "1.2.3", "1m 1s", "ms"})
      CHECK_THROWS_AS((void)parse_duration(bad), error);
    CHECK(parse_duration("876000h") == 876'000h);
    CHECK(parse_duration("300000000h") == 876'000h);
    CHECK(format_interval(90s) == "90s");
    CHECK(format_interval(1500ms) == "1500ms");
    CHECK(format_interval(0ms) == "0ms");
    CHECK(parse_size("0") == 0);
    CHECK(parse_size("1.5k") == 1536);
    CHECK(parse_size("2MiB") == 2 * 1024 * 1024);
    CHECK(parse_size("2GB") == 2ULL << 30);
    CHECK(format_size(1536) == "1536");
    CHECK(format_size(64 * 1024) == "64K");
    for (const auto* bad : {"", "x", "-1", "1x", "nan", "inf", "1e300", "1 s"}) {
      CHECK_THROWS_AS((void)parse_duration(bad), error);
      CHECK_THROWS_AS((void)parse_size(bad), error);
    }
    CHECK_THROWS_AS((void)parse_size("99999999999T"), error);
    CHECK_THROWS_AS((void)parse_size("1iB"), error);
  }
}

TEST_SUITE("manual") {
  TEST_CASE("--man prints a page with every section, made from the options") {
    const ended page = run_sample({"--man"});
    CHECK(page.code == 0);
    for (const char* section : {"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS",
                                "ENVIRONMENT", "EXAMPLES", "SEE ALSO"})
      CHECK(has(page.out, "\n.SH " + std::string(section) + "\n"));
    CHECK(has(page.out, "\n.SS Input\n"));
    CHECK(has(page.out, "\n.TP\n\\fB\\-b, \\-\\-bind\\fR \\fIENDPOINT ...\\fR\n"));
  }

  TEST_CASE("no text is taken for a roff request or escape") {
    CHECK(roff_escape(".TH\n'x\\fB") == "\\&.TH\n\\&\\(aqx\\efB");
    CHECK(roff_escape("a.b --c") == "a.b \\-\\-c");
  }

  TEST_CASE("groff renders the page without a warning") {
    if (std::system("command -v groff > /dev/null") != 0) {
      MESSAGE("groff is not installed: not checked");
      return;
    }
    const temp_dir dir;
    const std::string page = dir.file("page.1", run_sample({"--man"}).out);
    const std::string command = "groff -man -Tutf8 -ww -P-c " + page + " > " +
                                dir.path("text") + " 2> " + dir.path("warnings");
    CHECK(std::system(command.c_str()) == 0);
    CHECK(content_of(dir.path("warnings")) == "");
    const std::string text = content_of(dir.path("text"));
    CHECK(has(text, "grep -v '^#' > 'out put'"));
    CHECK(has(text, ".And has a second paragraph"));
    CHECK(has(text, "which is \\fine"));
  }
}

TEST_SUITE("signals") {
  TEST_CASE("a signal waits until the loop takes it, and the second one is seen too") {
    signals ends;
    CHECK(ends.take() == 0);
    pollfd wait{ends.fd(), POLLIN, 0};
    CHECK(::poll(&wait, 1, 0) == 0);
    for (const int signal : {SIGTERM, SIGTERM, SIGINT, SIGHUP}) {
      REQUIRE(::kill(::getpid(), signal) == 0);
      CHECK(::poll(&wait, 1, -1) == 1);
      CHECK(ends.take() == signal);
      CHECK(ends.take() == 0);
    }
  }

  TEST_CASE(
      "a program started with nohup stays deaf to SIGHUP, and writing to nobody is EPIPE") {
    const ended deaf = in_child([] {
      std::signal(SIGHUP, SIG_IGN);
      signals ends;
      ::raise(SIGHUP);
      ::raise(SIGPIPE);
      return ends.take() == 0 ? 0 : 1;
    });
    CHECK(deaf.code == 0);
  }
}
