// A worker inside a program that does other things as well.
#pragma once

#include <weir/worker.hpp>

#include <future>
#include <stop_token>
#include <utility>

/// Runs a worker on a thread of its own.
///
///     worker_thread mapping{{{.connect = {tasks}}}, map};
///     v.wait();
///     mapping.finish();
///
/// A worker ends by itself when its ventilators say that they are finished. finish() is for the
/// one that had not joined by then, because the others were quicker.
class worker_thread {
 public:
  template <class F>
  worker_thread(weir::worker_options options, F handler)
      : running_(std::async(std::launch::async, [this, options = std::move(options),
                                                 handler = std::move(handler)] {
          weir::worker w(options, handler);
          const std::stop_callback ending(stop_.get_token(), [&] { w.stop(); });
          w.run();
        })) {}
  ~worker_thread() { stop_.request_stop(); }  // and the future waits
  worker_thread(const worker_thread&) = delete;
  worker_thread& operator=(const worker_thread&) = delete;

  /// Finishes what runs, hands back the rest, and ends. Throws what the worker threw.
  void finish() {
    stop_.request_stop();
    running_.get();
  }

 private:
  std::stop_source stop_;
  std::future<void> running_;  // last: uses stop_
};
