// How a command is asked to end: --term-seq.
#pragma once

#include "proto/time.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace weir::cli::run {

/// Signals, and how long to wait after each. KILL follows a sequence that does not end with it.
struct term_sequence {
  struct step {
    int signal = 0;
    std::chrono::milliseconds wait{};
    [[nodiscard]] bool operator==(const step&) const = default;
  };
  std::vector<step> steps;

  /// "TERM,200,TERM,100,TERM,50,KILL,25"; names with SIG before them and numbers will do.
  /// Errors     weir::error usage.
  [[nodiscard]] static term_sequence parse(const std::string& text);
};

/// One command's way through the sequence.
///
///   ending end;
///   end.begin(sequence, now);
///   while (const int signal = end.due(now)) kill(-group, signal);
///   poll until end.next();
class ending {
 public:
  [[nodiscard]] bool begun() const { return sequence_ != nullptr; }
  void begin(const term_sequence& sequence, proto::time_point now);
  /// Nothing but KILL from now on.
  void hurry(proto::time_point now);
  /// The signal to send now; 0: none yet.
  [[nodiscard]] int due(proto::time_point now);
  [[nodiscard]] proto::time_point next() const { return next_; }

 private:
  const term_sequence* sequence_ = nullptr;
  std::size_t at_ = 0;
  proto::time_point next_ = proto::time_point::max();
};

}  // namespace weir::cli::run
