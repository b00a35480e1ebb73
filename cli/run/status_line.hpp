// --bar, --eta and --progress.
#pragma once

#include "node_main.hpp"
#include "options.hpp"
#include "outcome_writer.hpp"
#include "progress.hpp"

#include <atomic>
#include <cstdint>
#include <optional>

namespace weir::cli::run {

/// How far a run is, on standard error if that is a terminal.
///
/// Threads    count(): any. The others: one.
class status_line {
 public:
  status_line(const settings& s, nodes::console& say, const run_counts& counts)
      : settings_(s), say_(say), counts_(counts) {}

  /// Whether any was asked for, and there is a terminal to draw it on, which with -u the
  /// commands write to.
  [[nodiscard]] bool wanted() const;
  /// There are so many tasks. Without it, neither a bar nor an ETA can be shown.
  void count(std::uint64_t total) { total_ = total; }
  /// Draws it anew. As often as you like. How many are in flight may not be known.
  void draw(std::optional<std::uint64_t> in_flight);

 private:
  const settings& settings_;
  nodes::console& say_;
  const run_counts& counts_;
  nodes::rate_meter rate_;
  std::atomic<std::uint64_t> total_ = unknown;

  static constexpr std::uint64_t unknown = UINT64_MAX;
};

}  // namespace weir::cli::run
