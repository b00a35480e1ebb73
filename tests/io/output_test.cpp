#include "io/output.hpp"

#include "io_support.hpp"

#include <sys/stat.h>

#include <csignal>
#include <thread>

namespace output_test {

using namespace weir;
using namespace weir::io;
using namespace weir::io_test;

namespace {

// The programs ignore SIGPIPE (nodes/signals); so does this one.
[[maybe_unused]] const auto ignored = std::signal(SIGPIPE, SIG_IGN);

std::string pattern(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i * 7919 >> 3);
  return text;
}

// Reads a pipe to its end in small sips while somebody writes.
std::string drain(const pipe_ends& pipe) {
  std::string all;
  for (std::string some; !(some = pipe.take(1000)).empty();) all += some;
  return all;
}

}  // namespace

TEST_SUITE("output") {
  TEST_CASE("an existing file with results in it is not touched unless that is asked for") {
    const temp_dir dir;
    const std::string path = dir.file("results", "precious\n");
    try {
      (void)output::to_file(path, if_exists::refuse);
      FAIL("not refused");
    } catch (const error& e) {
      CHECK(e.code() == exit_code::cannot_create);
      CHECK(std::string(e.what()).find("--overwrite") != std::string::npos);
    }
    CHECK(content_of(path) == "precious\n");
    output::to_file(path, if_exists::append).write("more\n");
    CHECK(content_of(path) == "precious\nmore\n");
    output::to_file(path, if_exists::overwrite).write("new\n");
    CHECK(content_of(path) == "new\n");
  }

  TEST_CASE("a new file, an empty one and /dev/null need no permission") {
    const temp_dir dir;
    output::to_file(dir.path("new"), if_exists::refuse).write("1");
    CHECK(content_of(dir.path("new")) == "1");
    output::to_file(dir.file("empty", ""), if_exists::refuse).write("2");
    CHECK(content_of(dir.path("empty")) == "2");
    output::to_file("/dev/null", if_exists::refuse).write("3");
  }

  TEST_CASE("a file in a directory that does not exist cannot be created") {
    const temp_dir dir;
    try {
      (void)output::to_file(dir.path("missing/results"), if_exists::refuse);
      FAIL("created");
    } catch (const error& e) {
      CHECK(e.code() == exit_code::cannot_create);
      CHECK(std::string(e.what()).find("missing/results: No such file") != std::string::npos);
    }
  }

  TEST_CASE("a file that somebody writes for a whole run is left as it is") {
    const temp_dir dir;
    const std::string path = dir.path("results");
    output first = output::to_file(path, if_exists::refuse, claim::whole_run);
    const auto refused = [&](if_exists existing) {
      try {
        (void)output::to_file(path, existing, claim::whole_run);
        return false;
      } catch (const error& e) {
        CHECK(e.code() == exit_code::in_use);
        CHECK(std::string(e.what()).find(path) != std::string::npos);
        return true;
      }
    };
    CHECK(refused(if_exists::refuse));  // still empty
    first.write("precious\n");
    CHECK(refused(if_exists::overwrite));
    CHECK(refused(if_exists::append));
    CHECK(content_of(path) == "precious\n");
  }

  TEST_CASE("when its writer is gone it can be written again, and some may append together") {
    const temp_dir dir;
    const std::string path = dir.file("results", "old\n");
    { const output gone = output::to_file(path, if_exists::overwrite, claim::whole_run); }
    output one = output::to_file(path, if_exists::append, claim::whole_run);
    output other = output::to_file(path, if_exists::append, claim::whole_run);
    one.write("1\n");
    other.write("2\n");
    CHECK(content_of(path) == "1\n2\n");
  }

  TEST_CASE("who wants to append alone does not append together with others") {
    const temp_dir dir;
    const std::string path = dir.path("results");
    const auto refused = [&](claim held) {
      try {
        (void)output::to_file(path, if_exists::append, held);
        return false;
      } catch (const error& e) {
        return e.code() == exit_code::in_use;
      }
    };
    {
      const output some = output::to_file(path, if_exists::append, claim::whole_run);
      CHECK(refused(claim::alone));
    }
    const output all = output::to_file(path, if_exists::append, claim::alone);
    CHECK(refused(claim::whole_run));
    CHECK(refused(claim::alone));
  }

  TEST_CASE("what is appended is a line of its own, and only the first looks for that") {
    const temp_dir dir;
    const std::string path = dir.file("results", "no end");
    const auto open = [&] {
      return output::to_file(path, if_exists::append, claim::whole_run, end_last_line);
    };
    output one = open();
    one.write("half a ");
    output other = open();
    one.write("line\n");
    other.write("1\n");
    CHECK(content_of(path) == "no end\nhalf a line\n1\n");
    CHECK_NOTHROW((void)output::to_file(dir.path("new"), if_exists::append, claim::whole_run,
                                        end_last_line));
    CHECK(content_of(dir.path("new")).empty());
  }

  TEST_CASE("a full disk is an I/O error that names the file") {
    output out = output::to_file("/dev/full", if_exists::refuse);
    try {
      out.write("x");
      FAIL("written");
    } catch (const error& e) {
      CHECK(e.code() == exit_code::io);
      CHECK(std::string(e.what()) == "writing /dev/full: No space left on device");
    }
  }

  TEST_CASE("a reader that went away is told apart from other errors: exit code 141") {
    pipe_ends pipe;
    output out = output::to_fd(pipe.write_end, "standard output");
    pipe_ends::close(pipe.read_end);
    try {
      out.write("x");
      FAIL("written");
    } catch (const broken_pipe& e) {
      CHECK(static_cast<int>(e.code()) == 141);
    }
  }

  TEST_CASE("everything arrives through a tiny pipe, blocking or not") {
    for (const bool blocking : {true, false}) {
      pipe_ends pipe;
      REQUIRE(::fcntl(pipe.write_end, F_SETPIPE_SZ, 4096) >= 4096);
      if (!blocking) REQUIRE(::fcntl(pipe.write_end, F_SETFL, O_NONBLOCK) == 0);
      const std::string text = pattern(300'000);
      std::string got;
      std::thread reader([&] { got = drain(pipe); });
      {
        output out = output::to_fd(pipe.write_end, "pipe");
        // More pieces than one writev() takes, some of them empty.
        std::vector<iovec> pieces;
        for (std::size_t at = 0; at < text.size();) {
          const std::size_t length = std::min<std::size_t>(at % 257, text.size() - at);
          pieces.push_back({const_cast<char*>(text.data() + at), length});
          at += length;
          if (length == 0) {
            pieces.push_back({const_cast<char*>(text.data() + at), 1});
            ++at;
          }
        }
        CHECK(pieces.size() > 1024);
        out.write(pieces);
      }
      pipe_ends::close(pipe.write_end);
      reader.join();
      CHECK(got == text);
    }
  }

  TEST_CASE("a file and /dev/null never make the writer wait; a full pipe does") {
    const temp_dir dir;
    CHECK(output::to_file(dir.path("file"), if_exists::refuse).can_write_now(1U << 30));
    CHECK(output::to_file("/dev/null", if_exists::refuse).can_write_now(1U << 30));

    pipe_ends pipe;
    REQUIRE(::fcntl(pipe.write_end, F_SETPIPE_SZ, 4096) == 4096);
    const output out = output::to_fd(pipe.write_end, "pipe");
    CHECK(out.can_write_now(4096));
    CHECK_FALSE(out.can_write_now(4097));
    pipe.put("x");
    CHECK_FALSE(out.can_write_now(1));
    (void)pipe.take();
    CHECK(out.can_write_now(1));
  }
}

}  // namespace output_test
