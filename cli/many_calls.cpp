#include "many_calls.hpp"

#include "connection.hpp"

#include <weir/error.hpp>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace weir::cli {
namespace {

/// Prints outcomes on a thread of its own, so that a slow reader of standard output stops
/// neither the client's loop nor the calls on their way.
class printer {
 public:
  printer(const many_options& options, nodes::node_context& context)
      : options_(options), context_(context), thread_([this] { run(); }) {}
  ~printer() { stop(); }
  printer(const printer&) = delete;
  printer& operator=(const printer&) = delete;

  /// Waits for a place among those in flight. False: printing has failed, there is no point.
  bool reserve() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return under_way_ < options_.in_flight || failure_; });
    if (failure_) return false;
    ++under_way_;
    return true;
  }
  void put(std::uint64_t number, std::uint64_t line, raw_outcome outcome) {
    {
      const std::lock_guard lock(mutex_);
      arrived_.emplace(number, entry{line, std::move(outcome)});
    }
    changed_.notify_all();
  }
  /// Waits until everything that was reserved is printed.
  int finish() {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return under_way_ == 0 || failure_; });
    }
    stop();
    if (failure_) std::rethrow_exception(failure_);
    return failed_ > 0 ? static_cast<int>(exit_code::some_failed) : 0;
  }

 private:
  struct entry {
    std::uint64_t line = 0;
    raw_outcome outcome;
  };

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stopping_ || ready(); });
      if (!ready()) return;
      std::map<std::uint64_t, entry> some;
      while (ready()) {
        some.insert(arrived_.extract(arrived_.begin()));
        ++next_;
      }
      lock.unlock();
      try {
        write(some);
      } catch (...) {
        lock.lock();
        failure_ = std::current_exception();
        changed_.notify_all();
        return;
      }
      lock.lock();
      under_way_ -= some.size();
      changed_.notify_all();
    }
  }

  [[nodiscard]] bool ready() const {
    return !arrived_.empty() && (!options_.keep_order || arrived_.begin()->first == next_);
  }

  void write(const std::map<std::uint64_t, entry>& some) {
    std::string text;
    const auto flush = [&] {
      if (!text.empty()) print(std::exchange(text, {}));
    };
    for (const auto& [number, e] : some) {
      if (e.outcome.ok()) {
        text += shown(e.outcome.result, options_.format);
        continue;
      }
      flush();  // in order on a terminal, too
      ++failed_;
      context_.say.error("line " + std::to_string(e.line) + ": " +
                         failure_text(e.outcome.code, e.outcome.message, e.outcome.more));
    }
    flush();
    done_ += some.size();
    const auto now = std::chrono::steady_clock::now();
    rate_.update(done_, now);
    nodes::progress_figures figures;
    figures.done = done_;
    figures.failed = failed_;
    figures.rate = rate_.per_second();
    context_.say.status(figures, now);
  }

  const many_options& options_;
  nodes::node_context& context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, entry> arrived_;
  std::uint64_t next_ = 0;  // with keep_order: to be printed
  std::uint64_t under_way_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::uint64_t done_ = 0;  // the printer's own from here
  std::uint64_t failed_ = 0;
  nodes::rate_meter rate_;
  std::thread thread_;
};

}  // namespace

int call_each_line(raw_client& client, const std::string& method,
                   const prepared_settings& settings, const many_options& options,
                   const interruption& ends, std::istream& lines,
                   const std::function<std::string(std::string_view)>& pack,
                   nodes::node_context& context) {
  // Shared with the calls on their way: when printing fails, they end later than this.
  const auto results = std::make_shared<printer>(options, context);
  std::string line;
  std::uint64_t number = 0;
  for (std::uint64_t at = 1; std::getline(lines, line); ++at) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (!results->reserve()) break;
    const auto mine = number++;
    try {
      client.call(method, pack(line), settings,
                  [results, mine, at, &ends](const raw_outcome& o) {
                    if (!ends.has_come()) results->put(mine, at, o);
                  });
    } catch (const error& e) {
      raw_outcome refused;
      refused.code = status::invalid_argument;
      refused.message = e.what();
      results->put(mine, at, std::move(refused));
    }
  }
  const int code = results->finish();
  if (lines.bad()) throw error(exit_code::io, "reading standard input failed");
  return code;
}

}  // namespace weir::cli
