// Workers and gateways on threads of their own, for tests that call them.
#pragma once

#include <weir/expose.hpp>
#include <weir/gateway.hpp>

#include <doctest/doctest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace net_test {
using namespace std::chrono_literals;

/// Longer than anything here takes, on the slowest of machines.
inline constexpr auto patience = 60s;

/// For ipc:// endpoints; short, as a socket's path has at most 107 bytes.
class folder {
 public:
  folder() { REQUIRE(::mkdtemp(path_.data()) != nullptr); }
  ~folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  [[nodiscard]] std::string endpoint(const std::string& name) const {
    return "ipc://" + path_ + "/" + name;
  }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_ = "/tmp/weir-net-XXXXXX";
};

/// A worker, until this goes.
class running_worker {
 public:
  running_worker(weir::worker_options options,
                 const std::function<void(weir::worker&)>& offer) {
    if (options.slots == 0) options.slots = 2;
    worker_ = std::make_unique<weir::worker>(std::move(options));
    offer(*worker_);
    thread_ = std::thread([this] { worker_->run(); });
  }
  ~running_worker() {
    worker_->stop();
    worker_->stop();
    thread_.join();
  }
  running_worker(const running_worker&) = delete;
  running_worker& operator=(const running_worker&) = delete;

 private:
  std::unique_ptr<weir::worker> worker_;
  std::thread thread_;
};

/// A gateway, until this goes.
class running_gateway {
 public:
  explicit running_gateway(const std::string& endpoint, const std::string& spool = {}) {
    weir::gateway_options options;
    options.bind = {endpoint};
    options.spool = spool;
    gateway_ = std::make_unique<weir::gateway>(std::move(options));
    thread_ = std::thread([this] { gateway_->run(); });
  }
  ~running_gateway() {
    gateway_->stop();
    thread_.join();
  }
  running_gateway(const running_gateway&) = delete;
  running_gateway& operator=(const running_gateway&) = delete;

 private:
  std::unique_ptr<weir::gateway> gateway_;
  std::thread thread_;
};

/// Waits for `done()`; false if it never comes true.
template <class Done>
[[nodiscard]] bool eventually(Done&& done) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

/// For a method that runs until nobody waits for it; false if somebody always does.
inline bool wait_for_cancel(weir::call_context& call) {
  return eventually([&] { return call.cancelled(); });
}

}  // namespace net_test
