// A running process of ours, from its start to the last of its group.
#pragma once

#include "exec/reaper.hpp"
#include "exec/spawn.hpp"
#include "proto/time.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace weir::exec {

/// No status of waitpid(). Somebody else in this program has waited for the process.
constexpr int unknown_exit = -1;

/// A process that leads a group, and how to end both.
///
/// Ownership  Its end is waited for by end(); destroying it while it runs kills it.
class child {
 public:
  child() = default;
  ~child();
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  /// Where the spawner shall store the process id.
  [[nodiscard]] pid_t* pid_place() { return entry_.pid(); }
  void started(spawned process);
  [[nodiscard]] bool running() const { return pid_ > 0; }
  /// Readable when the process has exited, its descendants notwithstanding.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }

  /// TERM to the group, and CONT lest a stopped one does not notice. Only the first call
  /// counts.
  void ask_to_end(proto::time_point now, proto::duration grace);
  void kill();
  /// To the group, and CONT behind it.
  void send(int signal);
  /// Kills a group that was asked to end long enough ago.
  void kill_if_due(proto::time_point now);
  /// When kill_if_due() is due; time_point::max(): not at all.
  [[nodiscard]] proto::time_point kill_due() const { return kill_due_; }
  /// Kills what is left of the group, and returns the process's status, as from waitpid(), or
  /// unknown_exit.
  int end();

 private:
  reaper_entry entry_;
  pid_t pid_ = -1;
  unique_fd pidfd_;
  bool asked_ = false;
  proto::time_point kill_due_ = proto::time_point::max();
};

enum class read_result { some, nothing_now, end };

/// Reads what there is, at most 64 KiB, onto the end of `to`. The descriptor does not block.
[[nodiscard]] read_result read_some(int fd, std::string& to);

/// The last bytes of a stream.
class tail {
 public:
  explicit tail(std::size_t keep) : keep_(keep) {}
  /// The buffer to append to; call trim() afterwards.
  [[nodiscard]] std::string& buffer() { return bytes_; }
  void trim() {
    if (bytes_.size() > 2 * keep_) bytes_.erase(0, bytes_.size() - keep_);
  }
  void clear() { bytes_.clear(); }
  [[nodiscard]] std::string_view view() const {
    const std::string_view all = bytes_;
    return all.size() > keep_ ? all.substr(all.size() - keep_) : all;
  }

 private:
  std::size_t keep_;
  std::string bytes_;
};

/// Milliseconds for poll(): rounded up, so that the moment has come when it returns; -1 for
/// never.
[[nodiscard]] int poll_timeout(proto::time_point until, proto::time_point now);

}  // namespace weir::exec
