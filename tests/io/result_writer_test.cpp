#include "io/result_writer.hpp"

#include "io/joblog.hpp"
#include "io/text.hpp"
#include "io_support.hpp"

#include <msgpack.hpp>

namespace result_writer_test {

using namespace weir;
using namespace weir::io;
using namespace weir::io_test;

namespace {

struct said {
  std::string summary;
  std::string stderr_tail;
};

// What a writer of this format makes of these runs.
std::string written(result_format format, const std::vector<proto::result_run>& runs,
                    tagging tags = tagging::off, std::vector<said>* complaints = nullptr) {
  const temp_dir dir;
  result_writer results(output::to_file(dir.path("out"), if_exists::refuse), format, tags,
                        [&](std::string_view summary, std::string_view tail) {
                          if (complaints != nullptr)
                            complaints->push_back({std::string(summary), std::string(tail)});
                        });
  for (const auto& run : runs) results.write(run, source_number(0xab));
  const std::size_t pending = results.pending();
  CHECK(content_of(dir.path("out")).empty());
  results.flush();
  CHECK(results.pending() == 0);
  const std::string text = content_of(dir.path("out"));
  CHECK(text.size() == pending);
  results.flush();
  CHECK(content_of(dir.path("out")) == text);
  return text;
}

proto::result_run failed_run(std::uint64_t seq, const std::string& output,
                             outcome_details details) {
  proto::result_run run = run_of(seq, {output}, status::unknown);
  run.attempt = 3;
  run.details = {std::move(details)};
  return run;
}

outcome_details exit_three() {
  outcome_details d;
  d.exit_code = 3;
  d.host = "node7";
  d.stderr_tail = "no such thing\n";
  d.started = 1700000000.25;
  d.runtime = 0.5;
  return d;
}

}  // namespace

TEST_SUITE("result writer") {
  TEST_CASE(
      "raw: each task's output as it is, large and small, whole and in the order of writing") {
    const std::string large(10'000, 'L');
    const std::string binary("\0\xff\n\0", 4);
    CHECK(written(result_format::raw, {run_of(1, {"a", "b\n", ""}), run_of(9, {large}),
                                       run_of(4, {binary, "c"}), run_of(6, {large, large})}) ==
          "ab\n" + large + binary + "c" + large + large);
  }

  TEST_CASE("lines: a newline is added where there is none") {
    const std::string large(5'000, 'L');
    CHECK(written(result_format::lines, {run_of(1, {"a\n", "b\n"}), run_of(3, {"c", "", "d\n"}),
                                         run_of(6, {large, large + "\n"})}) ==
          "a\nb\nc\n\nd\n" + large + "\n" + large + "\n");
  }

  TEST_CASE("null: nothing is written, everything is counted") {
    result_writer results(output::to_file("/dev/full", if_exists::refuse), result_format::null,
                          tagging::off, nullptr);
    results.write(run_of(1, {"a", "b"}), source_number(1));
    results.write(failed_run(3, "c", {}), source_number(1));
    results.flush();
    CHECK(results.succeeded() == 2);
    CHECK(results.failed() == 1);
  }

  TEST_CASE("--tag puts the task's number before each of its lines") {
    const std::vector<proto::result_run> runs{run_of(16, {"a\nb", "", "\n"})};
    CHECK(written(result_format::raw, runs, tagging::seq) == "16\ta\n16\tb\n18\t\n");
    CHECK(written(result_format::lines, runs, tagging::seq) == "16\ta\n16\tb\n17\t\n18\t\n");
    CHECK_THROWS_AS(written(result_format::jsonl, runs, tagging::seq), error);
  }

  TEST_CASE("a failed task's output is written, and its failure and stderr are reported") {
    std::vector<said> complaints;
    outcome_details killed;
    killed.signal = 9;
    killed.exit_code = -1;
    outcome_details refused;
    refused.message = "not today";
    CHECK(written(result_format::raw,
                  {failed_run(17, "partial", exit_three()), failed_run(18, "", killed),
                   failed_run(19, "", refused)},
                  tagging::off, &complaints) == "partial");
    REQUIRE(complaints.size() == 3);
    CHECK(complaints[0].summary == "task 17 failed: exit 3 after 3 attempts on node7");
    CHECK(complaints[0].stderr_tail == "no such thing\n");
    CHECK(complaints[1].summary == "task 18 failed: signal 9 after 3 attempts");
    CHECK(complaints[2].summary == "task 19 failed: UNKNOWN (not today) after 3 attempts");
  }

  TEST_CASE("with several sources a failure says whose task it was") {
    std::vector<std::string> summaries;
    result_writer results(output::to_file("/dev/null", if_exists::refuse), result_format::raw,
                          tagging::off,
                          [&](auto summary, auto) { summaries.emplace_back(summary); });
    proto::result_run run = run_of(5, {""}, status::unavailable);
    results.write(run, source_number(0x01));
    results.write(run, source_number(0x02));
    CHECK(summaries == std::vector<std::string>{
                           "task 5 failed: UNAVAILABLE after 1 attempt",
                           "task 5 of source 02020202 failed: UNAVAILABLE after 1 attempt"});
  }

  TEST_CASE("jsonl: one object per task with the documented keys") {
    CHECK(
        written(result_format::jsonl, {failed_run(17, "a\"\\\n\x01\xc3\xa9", exit_three())}) ==
        R"({"source":"abababababababababababababababab","seq":17,"attempt":3,)"
        R"("code":"UNKNOWN","exit":3,"signal":0,"host":"node7","start":1700000000.250000,)"
        "\"runtime\":0.500000,\"stdout\":\"a\\\"\\\\\\n\\u0001\xc3\xa9\","
        R"("stderr":"no such thing\n","message":""})"
        "\n");
    CHECK(written(result_format::jsonl, {run_of(1, {"\xff\xfe", ""})}) ==
          R"({"source":"abababababababababababababababab","seq":1,"attempt":1,)"
          R"("code":"OK","exit":null,"signal":0,"host":"","start":0.000000,)"
          R"("runtime":0.000000,"stdout_base64":"//4=","stderr":"","message":""})"
          "\n"
          R"({"source":"abababababababababababababababab","seq":2,"attempt":1,)"
          R"("code":"OK","exit":null,"signal":0,"host":"","start":0.000000,)"
          R"("runtime":0.000000,"stdout":"","stderr":"","message":""})"
          "\n");
  }

  TEST_CASE("msgpack: a stream that msgpack itself reads back") {
    const std::string text =
        written(result_format::msgpack,
                {run_of(1, {std::string("\0x", 2), ""}), failed_run(17, "out", exit_three())});
    std::size_t at = 0;
    const auto next = [&] { return msgpack::unpack(text.data(), text.size(), at); };
    CHECK(next()->via.array.ptr[4].as<std::string>() == std::string("\0x", 2));
    CHECK(next()->via.array.ptr[1].as<std::uint64_t>() == 2);
    const auto third = next();
    REQUIRE(third->via.array.size == 6);
    const auto* fields = third->via.array.ptr;
    CHECK(fields[0].type == msgpack::type::BIN);
    CHECK(fields[0].as<std::string>() == std::string(16, '\xab'));
    CHECK(fields[1].as<std::uint64_t>() == 17);
    CHECK(fields[2].as<int>() == 3);
    CHECK(fields[3].as<int>() == 2);
    const auto details = fields[5].as<std::map<std::string, msgpack::object>>();
    CHECK(details.size() == 5);
    CHECK(details.at("exit").as<int>() == 3);
    CHECK(details.at("host").as<std::string>() == "node7");
    CHECK(details.at("runtime").as<double>() == 0.5);
    CHECK(at == text.size());
  }
}

TEST_SUITE("text") {
  TEST_CASE("base64 pads as RFC 4648 says") {
    const auto base64 = [](std::string_view bytes) {
      std::string out;
      append_base64(out, bytes);
      return out;
    };
    CHECK(base64("") == "");
    CHECK(base64("f") == "Zg==");
    CHECK(base64("fo") == "Zm8=");
    CHECK(base64("foo") == "Zm9v");
    CHECK(base64("foobar") == "Zm9vYmFy");
  }

  TEST_CASE("a broken character in JSON text becomes the replacement character") {
    std::string out;
    append_json_string(out, "a\xff\x7f");
    CHECK(out == "\"a\xef\xbf\xbd\\u007f\"");
    std::string number;
    append_number(number, std::numeric_limits<double>::quiet_NaN(), 3);
    CHECK(number == "0");
  }
}

TEST_SUITE("joblog") {
  TEST_CASE("the nine columns of GNU parallel, whatever a worker calls its host") {
    const temp_dir dir;
    joblog log(dir.path("log"));
    outcome_details odd = exit_three();
    odd.host = "a\tb\n";
    odd.exit_code = -1;
    odd.signal = 15;
    log.write(run_of(1, {"four"}), source_number(0));
    log.write(failed_run(2, "", exit_three()), source_number(0));
    log.write(failed_run(3, "", odd), source_number(0));
    log.flush();
    const std::string id(32, '0');
    CHECK(content_of(dir.path("log")) ==
          "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
          "1\t:\t0.000\t     0.000\t0\t4\t0\t0\t" +
              id + ":1\n" + "2\tnode7\t1700000000.250\t     0.500\t0\t0\t3\t0\t" + id + ":2\n" +
              "3\ta?b?\t1700000000.250\t     0.500\t0\t0\t2\t15\t" + id + ":3\n");
  }

  TEST_CASE("a plain name begins the log afresh; +NAME appends without a second header") {
    const temp_dir dir;
    const auto lines_after = [&](const std::string& file) {
      joblog log(file);
      log.write(run_of(1, {"x"}), source_number(0));
      log.flush();
      const std::string text = content_of(dir.path("log"));
      return std::count(text.begin(), text.end(), '\n');
    };
    CHECK(lines_after("+" + dir.path("log")) == 2);
    CHECK(lines_after("+" + dir.path("log")) == 3);
    CHECK(lines_after(dir.path("log")) == 2);
  }

  TEST_CASE("what a crash has cut short is cut off, and what somebody else wrote is ended") {
    const temp_dir dir;
    const std::string header =
        "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";
    const std::string task = "1\t:\t0.000\t     0.000\t0\t1\t0\t0\techo 1\n";
    const auto gone_on_with = [&](const std::string& before) {
      const joblog log("+" + dir.file("log", before));
      return content_of(dir.path("log"));
    };
    CHECK(gone_on_with("") == header);
    CHECK(gone_on_with("Seq\tHo") == header);
    CHECK(gone_on_with(header + task) == header + task);
    for (const std::size_t left : {1U, 2U, 20U, 32U})  // of the second line
      CHECK(gone_on_with(header + task + task.substr(0, left)) == header + task);
    CHECK(gone_on_with(task + task.substr(0, 1)) == task);  // parallel's +FILE has no header
    CHECK(gone_on_with(header + "a note") == header + "a note\n");
    CHECK(gone_on_with("notes\n2\t:") == "notes\n2\t:\n");
    CHECK(gone_on_with("3") == "3\n");
    const std::string longer(10'000, 'x');
    CHECK(gone_on_with(header + "1\t" + longer) == header);
    CHECK(gone_on_with(longer) == longer + "\n");
  }

  TEST_CASE("those that begin a log together write one header, and cut nothing off") {
    const temp_dir dir;
    joblog one("+" + dir.path("log"));
    joblog other("+" + dir.path("log"));
    for (joblog* log : {&one, &other}) {
      log->write(run_of(1, {"x"}), source_number(0));
      log->flush();
    }
    output::to_file(dir.path("log"), if_exists::append).write("1\t:");  // as if one were at it
    const joblog third("+" + dir.path("log"));
    const std::string text = content_of(dir.path("log"));
    CHECK(std::count(text.begin(), text.end(), '\n') == 3);
    CHECK(text.ends_with("1\t:"));
  }
}

}  // namespace result_writer_test
