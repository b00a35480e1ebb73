// The plain transport from C++: what <weir/plain.hpp> shows, in one process.
#include <weir/error.hpp>
#include <weir/plain.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <thread>

namespace {

/// A directory for ipc endpoints.
class place {
 public:
  place() {
    char name[] = "/tmp/weir-plain-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~place() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string operator[](const std::string& name) const {
    return "ipc://" + path_ + "/" + name;
  }

 private:
  std::string path_;
};

std::string in_brackets(std::string_view text) { return std::string("<").append(text) + '>'; }

}  // namespace

TEST_CASE(
    "a plain ventilator, worker and sink hand on every task, and failures to the worker") {
  const place at;
  std::multiset<std::string> results;
  std::set<std::uint64_t> numbers;
  weir::plain_sink sink{{{.bind = {at["r"]}}, 99}, [&](const weir::result& r) {
                          results.emplace(r.payload);
                          numbers.insert(r.id.seq);
                        }};
  std::string failure;
  weir::plain_worker_options options{{.connect = {at["t"]}}, at["r"], 2};
  options.on_failed = [&](const weir::result& r) { failure = r.details->message; };
  weir::plain_worker worker{options, [](weir::task& t) {
                              if (t.payload() == "50")
                                throw weir::task_error(weir::status::not_found, "no fifty");
                              return in_brackets(t.payload());
                            }};
  std::thread collecting([&] { sink.run(); });
  std::thread working([&] { worker.run(); });
  weir::plain_ventilator ventilator{{.bind = {at["t"]}}};
  std::multiset<std::string> expected;
  for (int i = 1; i <= 100; ++i) {
    CHECK(ventilator.submit(std::to_string(i)));
    if (i != 50) expected.insert(in_brackets(std::to_string(i)));
  }
  CHECK(ventilator.finish());
  collecting.join();
  worker.stop();
  working.join();
  CHECK(results == expected);
  CHECK(numbers.size() == 99);
  CHECK(*numbers.rbegin() == 99);
  CHECK(failure == "no fifty");
  CHECK(worker.stats().done == 99);
  CHECK(worker.stats().failed == 1);
}

TEST_CASE("a payload of 16 MiB is taken, and one of a byte more is not") {
  const place at;
  weir::plain_ventilator ventilator{{.connect = {at["t"]}}};
  CHECK_FALSE(ventilator.submit(std::string((16 << 20) + 1, 'x')));
  CHECK(ventilator.stats().failed == 1);
  CHECK(ventilator.submit(std::string(16 << 20, 'x')));
}

TEST_CASE("a ventilator that is stopped takes no more") {
  const place at;
  weir::plain_ventilator ventilator{{.bind = {at["t"]}}};
  std::thread stopper([&] { ventilator.stop(); });
  CHECK_FALSE(ventilator.submit("nobody is there to take it"));
  stopper.join();
}

TEST_CASE("an address that other machines can reach needs --insecure") {
  CHECK_THROWS_AS(weir::plain_ventilator{{.bind = {"tcp://*:5557"}}}, weir::error);
}
