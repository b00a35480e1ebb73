// What gRPC C++ reaches for request and reply: an echo server and a client, each a process,
// over TCP on loopback. Prints one JSON line. Built if Debian's libgrpc++-dev,
// protobuf-compiler-grpc and protobuf-compiler are installed.
//
// One call at a time is made with the blocking stub. More are kept under way by one thread with
// a completion queue; the server is the blocking one in both cases, as most are written.
#include "bench.hpp"
#include "grpc_echo.grpc.pb.h"
#include "processes.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <atomic>
#include <exception>
#include <grpcpp/grpcpp.h>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {
using weir::bench::Echo;
using weir::bench::Text;

constexpr int warm_up = 500;

struct plan {
  std::uint64_t calls = 20'000;
  std::size_t size = 64;
  std::size_t in_flight = 1;
};

struct board {
  std::atomic<int> port{0};
  std::atomic<bool> done{false};
  std::atomic<double> seconds{0};
  std::atomic<double> median_us{0};
  std::atomic<double> p99_us{0};
};

class echo final : public Echo::Service {
  grpc::Status Call(grpc::ServerContext*, const Text* call, Text* reply) override {
    reply->set_payload(call->payload());
    return grpc::Status::OK;
  }
};

void serve(board& shared) {
  echo service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) throw std::runtime_error("cannot listen");
  shared.port = port;
  while (!shared.done) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  server->Shutdown();
}

void check(const grpc::Status& how) {
  if (!how.ok()) throw std::runtime_error(how.error_message());
}

void one_at_a_time(Echo::Stub& stub, const Text& call, std::uint64_t calls,
                   std::vector<std::int64_t>& samples) {
  Text reply;
  for (std::uint64_t i = 0; i < calls; ++i) {
    grpc::ClientContext context;
    const auto begin = bench::now_ns();
    check(stub.Call(&context, call, &reply));
    samples.push_back(bench::now_ns() - begin);
  }
}

struct flying {
  grpc::ClientContext context;
  Text reply;
  grpc::Status how;
  std::int64_t begin = bench::now_ns();
  std::unique_ptr<grpc::ClientAsyncResponseReader<Text>> reader;
};

void many_at_a_time(Echo::Stub& stub, const Text& call, const plan& what,
                    std::vector<std::int64_t>& samples) {
  grpc::CompletionQueue queue;
  const auto start = [&] {
    auto* one = new flying;
    one->reader = stub.AsyncCall(&one->context, call, &queue);
    one->reader->Finish(&one->reply, &one->how, one);
  };
  std::uint64_t sent = 0;
  for (; sent < std::min<std::uint64_t>(what.in_flight, what.calls); ++sent) start();
  void* tag = nullptr;
  bool ok = false;
  while (samples.size() < what.calls && queue.Next(&tag, &ok)) {
    const std::unique_ptr<flying> one(static_cast<flying*>(tag));
    check(one->how);
    samples.push_back(bench::now_ns() - one->begin);
    if (sent++ < what.calls) start();
  }
}

void call(const plan& what, board& shared) {
  while (shared.port == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  Echo::Stub stub(grpc::CreateChannel("127.0.0.1:" + std::to_string(shared.port),
                                      grpc::InsecureChannelCredentials()));
  Text text;
  text.set_payload(std::string(what.size, 'x'));
  std::vector<std::int64_t> samples;
  one_at_a_time(stub, text, warm_up, samples);
  samples.clear();
  samples.reserve(what.calls);
  const auto start = bench::now_ns();
  if (what.in_flight == 1)
    one_at_a_time(stub, text, what.calls, samples);
  else
    many_at_a_time(stub, text, what, samples);
  shared.seconds = static_cast<double>(bench::now_ns() - start) / 1e9;
  shared.median_us = bench::quantile(samples, 0.5) / 1e3;
  shared.p99_us = bench::quantile(samples, 0.99) / 1e3;
  shared.done = true;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"What gRPC C++ reaches for request and reply"};
  plan what;
  unsigned deadline = 120;
  app.add_option("--calls", what.calls, "calls")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--size", what.size, "bytes of a call and its reply")->capture_default_str();
  app.add_option("--in-flight", what.in_flight, "calls under way")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--deadline", deadline, "seconds")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    auto& shared = bench::shared<board>();
    bench::processes roles(deadline);
    roles.start("server", [&] { serve(shared); });
    roles.start("client", [&] { call(what, shared); });
    const double cpu = roles.wait();
    bench::json_line line;
    line.add("calls", what.calls).add("size", what.size).add("in_flight", what.in_flight);
    line.add("calls_per_second", static_cast<double>(what.calls) / shared.seconds.load());
    line.add("median_us", shared.median_us.load()).add("p99_us", shared.p99_us.load());
    line.add("cpu_us_per_call", cpu * 1e6 / static_cast<double>(what.calls));
    std::cout << line.str() << std::endl;
  } catch (const std::exception& e) {
    std::cerr << "grpc_rpc: " << e.what() << '\n';
    return 1;
  }
}
