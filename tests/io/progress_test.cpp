#include "progress.hpp"

#include "console.hpp"
#include "io_support.hpp"

#include <poll.h>
#include <sys/ioctl.h>

#include <cstdlib>

using namespace std::chrono_literals;
using namespace weir::nodes;
using weir::io_test::pipe_ends;

namespace {

/// A terminal: what is written to fd() can be read back.
class terminal {
 public:
  terminal() {
    ::setenv("TERM", "xterm", 1);
    master_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(master_ >= 0);
    REQUIRE(::grantpt(master_) == 0);
    REQUIRE(::unlockpt(master_) == 0);
    slave_ = ::open(::ptsname(master_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(slave_ >= 0);
  }
  ~terminal() {
    ::close(slave_);
    ::close(master_);
  }
  terminal(const terminal&) = delete;
  terminal& operator=(const terminal&) = delete;
  [[nodiscard]] int fd() const { return slave_; }
  void widen(unsigned short columns) const {
    const winsize size{24, columns, 0, 0};
    REQUIRE(::ioctl(slave_, TIOCSWINSZ, &size) == 0);
  }
  /// Whether `text` is what has been written next. The kernel may hand it over in parts.
  [[nodiscard]] bool shows(std::string_view text) const {
    std::string got;
    while (got.size() < text.size()) {
      pollfd ready{master_, POLLIN, 0};
      if (::poll(&ready, 1, 10'000) != 1) break;
      std::string some(text.size() - got.size(), '\0');
      const ssize_t length = ::read(master_, some.data(), some.size());
      if (length <= 0) break;
      got.append(some, 0, static_cast<std::size_t>(length));
    }
    if (got == text) return true;
    MESSAGE("shown instead: " << escape_controls(got));
    return false;
  }

 private:
  int master_ = -1;
  int slave_ = -1;
};

const console::time_point t0{};

}  // namespace

TEST_SUITE("progress") {
  TEST_CASE("numbers are short, and never look larger than they are") {
    CHECK(format_count(0) == "0");
    CHECK(format_count(7) == "7");
    CHECK(format_count(0.26) == "0.2");
    CHECK(format_count(999) == "999");
    CHECK(format_count(1000) == "1k");
    CHECK(format_count(1200) == "1.2k");
    CHECK(format_count(1999) == "1.9k");
    CHECK(format_count(35'900) == "35k");
    CHECK(format_count(999'999) == "999k");
    CHECK(format_count(1'000'000) == "1M");
    CHECK(format_count(1'250'000) == "1.2M");
    CHECK(format_count(3.4e9) == "3.4G");
    CHECK(format_count(999e12) == "999T");
  }

  TEST_CASE("one is singular") {
    CHECK(plural(0, "worker") == "0 workers");
    CHECK(plural(1, "worker") == "1 worker");
    CHECK(plural(1200, "worker") == "1200 workers");
  }

  TEST_CASE("lengths of time have hours only when there are some") {
    CHECK(format_duration(7s) == "0:07");
    CHECK(format_duration(59min + 59s) == "59:59");
    CHECK(format_duration(1h) == "1:00:00");
    CHECK(format_duration(1h + 2min + 3s) == "1:02:03");
    CHECK(format_duration(49h) == "49:00:00");
  }

  TEST_CASE("the line holds what is known, and less on a narrow terminal") {
    progress_figures figures;
    figures.done = 1'200'000;
    figures.rate = 35'000;
    CHECK(format_progress(figures, 80) == "1.2M done  35k/s");
    figures.total = 131'514'000;
    figures.failed = 3;
    figures.in_flight = 1'234;
    figures.note = "3 workers";
    const std::string whole =
        "1.2M/131M done  3 failed  1.2k in flight  35k/s  ETA 1:02:04  3 workers";
    CHECK(format_progress(figures, whole.size()) == whole);
    CHECK(format_progress(figures, whole.size() - 1) ==
          whole.substr(0, whole.find("  3 work")));
    CHECK(format_progress(figures, 15) == "1.2M/131M done");
    CHECK(format_progress(figures, 4) == "1.2M");
    CHECK(format_progress(figures, 0).empty());
  }

  TEST_CASE("without a rate, or when all is done, there is no ETA") {
    progress_figures figures;
    figures.done = 5;
    figures.total = 10;
    CHECK(format_progress(figures, 80) == "5/10 done  0/s");
    figures.rate = 1;
    figures.total = 5;
    CHECK(format_progress(figures, 80) == "5/5 done  1/s");
  }

  TEST_CASE(
      "the rate is right at once, follows a change within seconds, and falls to nothing") {
    rate_meter meter;
    meter.update(1000, t0);
    CHECK(meter.per_second() == 0);
    meter.update(1100, t0 + 100ms);
    CHECK(meter.per_second() == doctest::Approx(1000));
    std::uint64_t count = 1100;
    for (int tenth = 2; tenth <= 200; ++tenth) meter.update(count += 500, t0 + tenth * 100ms);
    CHECK(meter.per_second() == doctest::Approx(5000).epsilon(0.05));
    for (int tenth = 201; tenth <= 500; ++tenth) meter.update(count, t0 + tenth * 100ms);
    CHECK(meter.per_second() < 50);
  }

  TEST_CASE("the rate of few tasks is right as soon as one of them is done") {
    rate_meter meter;
    for (int tenth = 0; tenth <= 10; ++tenth)
      meter.update(static_cast<std::uint64_t>(tenth) / 5, t0 + tenth * 100ms);
    CHECK(meter.per_second() == doctest::Approx(2));
  }
}

TEST_SUITE("console") {
  TEST_CASE("a message is one line, whatever is in it") {
    CHECK(escape_controls("plain \xc3\xa9") == "plain \xc3\xa9");
    CHECK(escape_controls("a\nb\tc\x1b[2J\x7f") == "a\\nb\\tc\\x1b[2J\\x7f");
    CHECK(escape_controls("\xff\xc2\x9b") == "\\xff\\xc2\\x9b");
    const pipe_ends pipe;
    console say("weir-sink", level::notice, pipe.write_end);
    say.notice("two\nlines");
    CHECK(pipe.take() == "weir-sink: two\\nlines\n");
  }

  TEST_CASE("what is shown depends on -q and -v") {
    const auto shown_at = [](level shown) {
      pipe_ends pipe;
      console say("w", shown, pipe.write_end);
      say.error("e");
      say.notice("n");
      say.detail("d");
      say.trace("t");
      return pipe.take();
    };
    CHECK(shown_at(level::error) == "w: e\n");
    CHECK(shown_at(level::notice) == "w: e\nw: n\n");
    CHECK(shown_at(level::detail) == "w: e\nw: n\nw: d\n");
    CHECK(shown_at(level::trace) == "w: e\nw: n\nw: d\nw: t\n");
  }

  TEST_CASE("a failed task's stderr is passed on as it is, ended with a newline") {
    const pipe_ends pipe;
    console say("weir-sink", level::notice, pipe.write_end);
    say.task_failed("task 17 failed: exit 3", "oops\x1b[0m");
    CHECK(pipe.take() == "oops\x1b[0m\nweir-sink: task 17 failed: exit 3\n");
    say.task_failed("task 18 failed: signal 9", "");
    CHECK(pipe.take() == "weir-sink: task 18 failed: signal 9\n");
  }

  TEST_CASE("there is no status line where there is no terminal, or with -q") {
    const pipe_ends pipe;
    {
      console say("w", level::notice, pipe.write_end);
      CHECK_FALSE(say.shows_status());
      say.status({}, t0);
      say.error("e");
    }
    CHECK(pipe.take() == "w: e\n");
    const terminal tty;
    CHECK_FALSE(console("w", level::error, tty.fd()).shows_status());
    ::setenv("TERM", "dumb", 1);
    CHECK_FALSE(console("w", level::notice, tty.fd()).shows_status());
  }

  TEST_CASE("the status line is drawn ten times a second, and steps aside for messages") {
    const terminal tty;
    console say("w", level::notice, tty.fd());
    REQUIRE(say.shows_status());
    progress_figures figures;
    say.status(figures, t0 + 1s);
    CHECK(tty.shows("\r\x1b[K0 done  0/s"));
    figures.done = 1;
    say.status(figures, t0 + 1s + 99ms);
    say.error("e");
    CHECK(tty.shows("\r\x1b[Kw: e\r\n0 done  0/s"));
    say.status(figures, t0 + 1s + 100ms);
    CHECK(tty.shows("\r\x1b[K1 done  0/s"));
    say.clear();
    CHECK(tty.shows("\r\x1b[K"));
    say.clear();
    say.error("last");
    CHECK(tty.shows("w: last\r\n"));
  }

  TEST_CASE("there is room for ^C behind the status line, however narrow the terminal is") {
    const auto drawn = [](unsigned short columns, const std::string& line) {
      const terminal tty;
      tty.widen(columns);
      console("w", level::notice, tty.fd()).status({}, t0 + 1s);
      return tty.shows("\r\x1b[K" + line + (line.empty() ? "" : "\r\x1b[K"));
    };
    CHECK(drawn(1, ""));
    CHECK(drawn(3, ""));
    CHECK(drawn(4, "0"));
    CHECK(drawn(13, "0 done"));
    CHECK(drawn(14, "0 done  0/s"));
  }

  TEST_CASE(
      "a status line is not drawn over a line that has no end, and messages not behind it") {
    const terminal tty;
    console say("w", level::notice, tty.fd());
    const auto write = [&](const std::string& text) {
      say.aside(text.back(), [&] { CHECK(::write(tty.fd(), text.data(), text.size()) > 0); });
    };
    say.status({}, t0 + 1s);
    write("no end");
    say.status({}, t0 + 2s);
    write(", but now\n");
    say.status({}, t0 + 3s);
    CHECK(tty.shows("\r\x1b[K0 done  0/s\r\x1b[Kno end, but now\r\n\r\x1b[K0 done  0/s"));
    write("again");
    say.error("e");
    say.status({}, t0 + 4s);
    CHECK(tty.shows("\r\x1b[Kagain\r\nw: e\r\n\r\x1b[K0 done  0/s"));
  }
}
