#include "io/record_reader.hpp"

#include "io_support.hpp"

#include <weir/error.hpp>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <numeric>
#include <thread>

namespace record_reader_test {

using namespace weir;
using namespace weir::io;
using namespace weir::io_test;

namespace {

constexpr std::size_t buffer = 256 * 1024;  // the reader's
constexpr std::size_t most_bytes = 1U << 30;

// All records of all inputs; a refused one is shown as "<too long: number, bytes>".
std::vector<std::string> read_all(record_reader& reader, std::uint32_t max_records = 1000,
                                  std::size_t max_bytes = most_bytes) {
  std::vector<std::string> records;
  for (;;) {
    proto::pack_builder tasks;
    const fill got = reader.read_into(tasks, max_records, max_bytes);
    CHECK(tasks.size() <= max_records);
    const proto::pack taken = tasks.take();
    for (std::uint32_t i = 0; i < taken.size(); ++i) records.emplace_back(taken[i]);
    if (got == fill::oversize)
      records.push_back("<too long: " + std::to_string(reader.refused().number) + ", " +
                        std::to_string(reader.refused().bytes) + ">");
    REQUIRE(got != fill::woken);
    if (got == fill::end) return records;
  }
}

std::vector<std::string> read_text(std::string_view text, record_format format,
                                   std::size_t max_record = proto::limits::payload_bytes) {
  const temp_dir dir;
  record_reader reader({dir.file("input", text)}, format, -1, max_record);
  return read_all(reader);
}

std::string bin(std::string_view payload) {
  std::string out;
  append_record(out, {framing::msgpack}, payload);
  return out;
}

using texts = std::vector<std::string>;
const record_format lines{framing::lines};

exit_code code_of(auto&& action) {
  try {
    action();
  } catch (const error& e) {
    return e.code();
  }
  return exit_code::ok;
}

}  // namespace

TEST_SUITE("record reader") {
  TEST_CASE("every line is a task, an empty one and one without a newline at the end too") {
    CHECK(read_text("one\n\nthree\r\nfour", lines) == texts{"one", "", "three\r", "four"});
    CHECK(read_text("one\n", lines) == texts{"one"});
    CHECK(read_text("\n", lines) == texts{""});
    CHECK(read_text("", lines) == texts{});
  }

  TEST_CASE("records may be separated by any bytes") {
    const record_format semicolons{framing::delimited, 0, ";"};
    CHECK(read_text("a b;c\nd;;e", semicolons) == texts{"a b", "c\nd", "", "e"});
    CHECK(read_text("a;\n", semicolons) == texts{"a", "\n"});
    const record_format crlf{framing::delimited, 0, "\r\n"};
    CHECK(read_text("a\r\n\r\r\nb\nc\r", crlf) == texts{"a", "\r", "b\nc\r"});
    CHECK(code_of([] { read_text("a", {framing::delimited}); }) == exit_code::usage);
  }

  TEST_CASE("a delimiter of several bytes is found where one read ends and the next begins") {
    for (std::size_t before : {buffer - 2, buffer - 1, buffer}) {
      CAPTURE(before);
      CHECK(read_text(std::string(before, 'x') + "-=-y", {framing::delimited, 0, "-=-"}) ==
            texts{std::string(before, 'x'), "y"});
      // The same behind a record that is too long.
      CHECK(read_text(std::string(before, 'x') + "-=-y", {framing::delimited, 0, "-=-"}, 100) ==
            texts{"<too long: 1, " + std::to_string(before) + ">", "y"});
    }
  }

  TEST_CASE("NUL-separated records may hold newlines, and lines may hold NULs") {
    CHECK(read_text(std::string_view("a\nb\0\0c", 6), {framing::nul}) ==
          texts{"a\nb", "", "c"});
    CHECK(read_text(std::string_view("a\0b\nc", 5), lines) == texts{{"a\0b", 3}, "c"});
  }

  TEST_CASE(
      "a line that ends exactly at the end of the read buffer, or one byte to either side") {
    for (const std::size_t length : {buffer - 2, buffer - 1, buffer, buffer + 1}) {
      const std::string line(length, 'x');
      CHECK(read_text(line + "\nnext\n", lines) == texts{line, "next"});
      CHECK(read_text(line, lines) == texts{line});
    }
  }

  TEST_CASE("lines of every length come through buffers that cut them anywhere") {
    std::string text;
    texts expected;
    for (std::size_t i = 0; i < 3000; ++i) {
      expected.emplace_back(i * 7919 % 1021, static_cast<char>('a' + i % 26));
      text += expected.back() + "\n";
    }
    CHECK(read_text(text, lines) == expected);
  }

  TEST_CASE("a batch keeps to its limits, though one record always fits") {
    const temp_dir dir;
    record_reader reader({dir.file("input", "12345\n12345\n12345\n1\n2\n3\n")}, lines);
    proto::pack_builder tasks;
    CHECK(reader.read_into(tasks, 10, 10) == fill::some);
    CHECK(tasks.take().size() == 2);
    CHECK(reader.read_into(tasks, 10, 4) == fill::some);
    CHECK(tasks.take().size() == 1);
    CHECK(reader.read_into(tasks, 2, 100) == fill::some);
    CHECK(tasks.take().size() == 2);
    CHECK(reader.read_into(tasks, 2, 100) == fill::some);
    CHECK(tasks.take()[0] == "3");
    CHECK(reader.read_into(tasks, 2, 100) == fill::end);
    CHECK(tasks.empty());
    CHECK(reader.records() == 6);
  }

  TEST_CASE("a record of 16 MiB is a task; one byte more is refused, and the next is read") {
    const std::string longest(proto::limits::payload_bytes, 'x');
    CHECK(read_text("a\n" + longest + "\nb", lines) == texts{"a", longest, "b"});
    CHECK(read_text("a\n" + longest + "x\nb", lines) ==
          texts{"a", "<too long: 2, 16777217>", "b"});
    CHECK(read_text(longest + "x", lines) == texts{"<too long: 1, 16777217>"});
    CHECK(read_text(bin(longest) + bin("b"), {framing::msgpack}) == texts{longest, "b"});
    CHECK(read_text(bin(longest + "x") + bin("b"), {framing::msgpack}) ==
          texts{"<too long: 1, 16777217>", "b"});
  }

  TEST_CASE("a record far beyond the limit is skipped to its end, in every format") {
    const std::string endless(3 * buffer, 'x');
    CHECK(read_text("a\n" + endless + "\nb\n", lines, 1000) ==
          texts{"a", "<too long: 2, 786432>", "b"});
    CHECK(read_text("a\n" + endless + "\nb\n", {framing::block, 10}, 1000) ==
          texts{"a\n", "<too long: 2, 786433>", "b\n"});
    CHECK(read_text(bin("a") + bin(endless) + bin("b"), {framing::msgpack}, 1000) ==
          texts{"a", "<too long: 2, 786432>", "b"});
    CHECK(read_text("a\n" + endless, lines, 1000) == texts{"a", "<too long: 2, 786432>"});
    CHECK(read_text("a\n" + std::string(1000, 'x') + "\n" + std::string(1001, 'x') + "\nb",
                    lines,
                    1000) == texts{"a", std::string(1000, 'x'), "<too long: 3, 1001>", "b"});
  }

  TEST_CASE("a block is as many whole lines as fit, and a longer line is one of its own") {
    const record_format ten{framing::block, 10};
    CHECK(read_text("1234\n1234\n1234\n", ten) == texts{"1234\n1234\n", "1234\n"});
    CHECK(read_text("12345\n1234\n", ten) == texts{"12345\n", "1234\n"});
    CHECK(read_text("1\n12345678901234\n2\n", ten) == texts{"1\n", "12345678901234\n", "2\n"});
    CHECK(read_text("1234567890", ten) == texts{"1234567890"});
    CHECK(read_text("123456789\n", ten) == texts{"123456789\n"});
    CHECK(read_text("1234567890\n1", ten) == texts{"1234567890\n", "1"});
  }

  TEST_CASE("blocks put together again are the input, however it arrives") {
    std::string text;
    for (int i = 0; text.size() < 3 * buffer; ++i) text += std::to_string(i * 7919) + "\n";
    const texts blocks = read_text(text, {framing::block, 100'000});
    CHECK(std::accumulate(blocks.begin(), blocks.end(), std::string()) == text);
    for (const auto& block : blocks) CHECK(block.size() <= 100'000);
    CHECK(blocks.size() == 8);
  }

  TEST_CASE("records of a fixed length; a shorter rest is a record too") {
    CHECK(read_text("aaabbbc", {framing::fixed, 3}) == texts{"aaa", "bbb", "c"});
    CHECK(read_text("aaabbb", {framing::fixed, 3}) == texts{"aaa", "bbb"});
    CHECK(read_text("aa", {framing::fixed, 3}) == texts{"aa"});
  }

  TEST_CASE("a size of nothing, or over the limit, is refused at once") {
    CHECK(code_of([] { record_reader({}, {framing::fixed, 0}); }) == exit_code::usage);
    CHECK(code_of([] { record_reader({}, {framing::block, 11}, -1, 10); }) == exit_code::usage);
    CHECK(code_of([] { record_reader({}, {framing::block, 10}, -1, 10); }) == exit_code::ok);
  }

  TEST_CASE("MessagePack strings and binaries of every size are tasks") {
    const std::string medium(300, 'm');
    const std::string large(70'000, 'l');
    const std::string text = std::string("\xa2hi", 3) +
                             std::string(
                                 "\xd9\x03"
                                 "abc",
                                 5) +
                             bin("") + bin(medium) + bin(large);
    CHECK(read_text(text, {framing::msgpack}) == texts{"hi", "abc", "", medium, large});
  }

  TEST_CASE("MessagePack cut at every byte is the same") {
    const std::string text = bin("first") + bin(std::string(300, 'm')) + bin("last");
    pipe_ends pipe;
    record_reader reader({pipe.read_path()}, {framing::msgpack});
    std::thread writer([&] {
      for (const char c : text) pipe.put({&c, 1});
      pipe_ends::close(pipe.write_end);
    });
    CHECK(read_all(reader) == texts{"first", std::string(300, 'm'), "last"});
    writer.join();
  }

  TEST_CASE(
      "what is no MessagePack string is an error that names file and byte, after the good "
      "ones") {
    const temp_dir dir;
    const std::string path = dir.file("bad.msgpack", bin("good") + "\x2a");
    record_reader reader({path}, {framing::msgpack});
    proto::pack_builder tasks;
    CHECK(reader.read_into(tasks, 10, 100) == fill::some);
    CHECK(tasks.size() == 1);
    try {
      (void)reader.read_into(tasks, 10, 100);
      FAIL("no error");
    } catch (const error& e) {
      CHECK(e.code() == exit_code::data);
      CHECK(std::string(e.what()).find(path + ": byte 6, 0x2a") == 0);
    }
    CHECK(code_of([] { read_text(bin("cut").substr(0, 3), {framing::msgpack}); }) ==
          exit_code::data);
    CHECK(code_of([] { read_text("\xc5", {framing::msgpack}); }) == exit_code::data);
  }

  TEST_CASE("several files are read one after the other, and no record spans two") {
    const temp_dir dir;
    record_reader reader({dir.file("a", "1\n2"), dir.file("empty", ""), dir.file("b", "3\n")},
                         lines);
    CHECK(read_all(reader) == texts{"1", "2", "3"});
  }

  TEST_CASE(
      "an input that is missing, a directory or unreadable is found before anything is read") {
    const temp_dir dir;
    const std::string good = dir.file("good", "1\n");
    CHECK(code_of([&] {
            record_reader({good, dir.path("missing")}, lines);
          }) == exit_code::no_input);
    CHECK(code_of([&] { record_reader({good, dir.path()}, lines); }) == exit_code::no_input);
    if (::geteuid() != 0) {
      REQUIRE(::chmod(good.c_str(), 0) == 0);
      CHECK(code_of([&] { record_reader({good}, lines); }) == exit_code::no_input);
    }
  }

  TEST_CASE("a line that arrives on a slow pipe is a task at once") {
    pipe_ends pipe;
    record_reader reader({pipe.read_path()}, lines);
    proto::pack_builder tasks;
    pipe.put("one\ntw");
    CHECK(reader.read_into(tasks, 100, 1000) == fill::some);
    CHECK(tasks.take().body().bytes == "one");
    pipe.put("o\nthree\n");
    CHECK(reader.read_into(tasks, 100, 1000) == fill::some);
    CHECK(tasks.take().body().bytes == "twothree");
    pipe_ends::close(pipe.write_end);
    CHECK(reader.read_into(tasks, 100, 1000) == fill::end);
  }

  TEST_CASE("a reader that waits for a pipe is woken, and goes on when called again") {
    pipe_ends pipe;
    pipe_ends wake;
    record_reader reader({pipe.read_path()}, lines, wake.read_end);
    pipe.put("half a li");
    std::thread waker([&] { wake.put("!"); });
    proto::pack_builder tasks;
    CHECK(reader.read_into(tasks, 100, 1000) == fill::woken);
    CHECK(tasks.empty());
    waker.join();
    CHECK(reader.read_into(tasks, 100, 1000) == fill::woken);
    (void)wake.take();
    pipe.put("ne\n");
    CHECK(reader.read_into(tasks, 100, 1000) == fill::some);
    CHECK(tasks.take()[0] == "half a line");
  }

  TEST_CASE("a FIFO that nobody has opened for writing yet does not make the reader deaf") {
    const temp_dir dir;
    const std::string fifo = dir.path("fifo");
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    pipe_ends wake;
    record_reader reader({fifo}, lines, wake.read_end);
    wake.put("!");
    proto::pack_builder tasks;
    CHECK(reader.read_into(tasks, 100, 1000) == fill::woken);
    (void)wake.take();
    std::thread writer([&] { std::ofstream(fifo) << "late\n"; });
    CHECK(reader.read_into(tasks, 100, 1000) == fill::some);
    CHECK(tasks.take()[0] == "late");
    writer.join();
    CHECK(reader.read_into(tasks, 100, 1000) == fill::end);
  }

  TEST_CASE("what is written in a format is read back from it") {
    for (const record_format& format :
         {lines, record_format{framing::nul}, record_format{framing::msgpack}}) {
      std::string text;
      const texts payloads{"",
                           "a",
                           std::string(255, 'b'),
                           std::string(256, 'c'),
                           std::string(65'535, 'd'),
                           std::string(65'536, 'e')};
      for (const auto& payload : payloads) append_record(text, format, payload);
      CHECK(read_text(text, format) == payloads);
    }
  }
}

}  // namespace record_reader_test
