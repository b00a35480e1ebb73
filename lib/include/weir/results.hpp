// Outcomes on their way to where they belong.
#pragma once

#include <weir/task.hpp>

#include <cstdint>
#include <memory>
#include <string_view>

namespace weir {

/// What became of one task. Views are valid as long as the `results` they came from.
struct result {
  task_id id;
  std::uint32_t attempt = 0;
  status code = status::ok;
  std::string_view payload;
  const outcome_details* details = nullptr;  ///< may be null
};

/// The outcomes of consecutive tasks of one source with the same status, as they arrived: often
/// one, sometimes thousands. Cheap to copy; copies share the payloads.
class results {
 public:
  [[nodiscard]] std::uint32_t size() const noexcept;
  /// Requires i < size().
  [[nodiscard]] result operator[](std::uint32_t i) const;
  /// All payloads, one directly after the other.
  [[nodiscard]] std::string_view joined() const noexcept;
  [[nodiscard]] const source_id& source() const noexcept;

  struct impl;  ///< weir's own
  explicit results(std::shared_ptr<const impl> what) : impl_(std::move(what)) {}
  [[nodiscard]] const impl& inner() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const impl> impl_;
};

/// Puts results where they belong. A sink, or a ventilator without one, owns one.
///
/// Delivery   Each task once. It is acknowledged to its ventilator after the flush() that
///            follows its write(): what flush() has not confirmed may come again after a
///            restart.
/// Threads    One call at a time, on the node's writer thread, or on its loop thread when
///            ready() said so.
/// Errors     What write() or flush() throws stops the node: nothing of that batch is
///            acknowledged, and run() throws it on.
class result_store {
 public:
  virtual ~result_store() = default;
  virtual void write(const results& some) = 0;
  virtual void flush() {}
  /// Whether `bytes` bytes can be written at once, without waiting for a disk or for whoever
  /// reads the pipe. If so, small batches are written without a detour over another thread.
  [[nodiscard]] virtual bool ready(std::size_t bytes) {
    (void)bytes;
    return false;
  }
};

}  // namespace weir
