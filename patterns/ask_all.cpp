// Scatter and gather by calls: which lines of these texts have this word?
//
//   ask_all WORD FILE...
//
// Each file has a worker of its own, which offers a method that looks into it. `search` is a
// coroutine that asks all of them at once, waits for the answers without a thread, and gives
// what it has got: a part that does not answer in time is named, and hides nothing of the
// others. Here all is in one process, but only the endpoint says so.
//
// Delivery   Looking twice does no harm, and the methods say so: when a worker dies, another
//            one that offers the same part is asked.
#include "socket_folder.hpp"

#include <weir/client.hpp>
#include <weir/error.hpp>
#include <weir/expose.hpp>
#include <weir/gateway.hpp>

#include <deque>
#include <fstream>
#include <future>
#include <iostream>
#include <stop_token>
#include <string>
#include <vector>

namespace {
using namespace std::chrono_literals;

constexpr auto patience = 30s;

struct found {
  std::string part;
  int line = 0;
  std::string text;
  MSGPACK_DEFINE(part, line, text)
};

/// A node on a thread of its own, until this goes.
template <class Node>
class running {
 public:
  template <class Options, class SetUp>
  running(Options options, SetUp set_up)
      : thread_(std::async(std::launch::async, [this, options, set_up] {
          Node node(options);
          set_up(node);
          const std::stop_callback ending(stop_.get_token(), [&] { node.stop(); });
          node.run();
        })) {}
  ~running() { stop_.request_stop(); }  // and the future waits
  running(const running&) = delete;
  running& operator=(const running&) = delete;

 private:
  std::stop_source stop_;
  std::future<void> thread_;  // last: uses stop_
};

std::string name_of(const std::string& path) {
  const auto begin = path.rfind('/') + 1;
  return path.substr(begin, path.rfind('.') - begin);
}

std::vector<found> find_in(const std::string& path, const std::string& word) {
  std::vector<found> all;
  std::ifstream file(path);
  if (!file) throw weir::rpc_error(weir::status::not_found, "cannot open " + path);
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.find(word) != std::string::npos) all.push_back({name_of(path), number, line});
  }
  return all;
}

// Parts are asked together, and awaited one after the other: the slowest decides.
weir::pending<std::vector<found>> search(weir::client_view c, std::vector<std::string> parts,
                                         std::string word, std::vector<std::string>& missing) {
  auto questions = c.batch();
  std::vector<weir::pending<std::vector<found>>> answers;
  for (const auto& part : parts)
    answers.push_back(questions.add<std::vector<found>>("find." + part, word));
  questions.send();
  std::vector<found> all;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    try {
      for (auto& each : co_await answers[i]) all.push_back(std::move(each));
    } catch (const weir::rpc_error& e) {
      missing.push_back(parts[i] + " (" + std::string(to_string(e.code())) + ")");
    }
  }
  co_return all;
}

int run(const std::string& word, const std::vector<std::string>& files) {
  const socket_folder sockets;
  const std::string calls = sockets.endpoint("calls");
  weir::gateway_options at;
  at.bind = {calls};
  at.wait = patience;  // all start together
  const running<weir::gateway> gateway(at, [](weir::gateway&) {});

  std::deque<running<weir::worker>> workers;
  std::vector<std::string> parts;
  for (const auto& file : files) {
    parts.push_back(name_of(file));
    weir::worker_options options;
    options.connect = {calls};
    workers.emplace_back(options, [file, method = "find." + parts.back()](weir::worker& w) {
      w.expose(method, [file](const std::string& what) { return find_in(file, what); },
               {.arguments = {"word"}, .help = "Lines with this word.", .idempotent = true});
    });
  }

  weir::client c{{{.connect = {calls}}}};
  std::vector<std::string> missing;
  for (const auto& each : search(c.with({.deadline = patience}), parts, word, missing).get())
    std::cout << each.part << ':' << each.line << ": " << each.text << '\n';
  for (const auto& part : missing) std::cout << "no answer from " << part << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: ask_all WORD FILE...\n";
    return 64;
  }
  try {
    return run(argv[1], {argv + 2, argv + argc});
  } catch (const weir::error& e) {
    std::cerr << "ask_all: " << e.what() << '\n';
    return static_cast<int>(e.code());
  }
}
