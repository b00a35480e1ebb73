// Calls between those who make them and the loop that sends them.
#pragma once

#include "net/receivers.hpp"
#include "proto/message.hpp"
#include "proto/pack.hpp"
#include "proto/time.hpp"

#include <weir/raw_client.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

/// Checked, and in the form in which they travel.
struct prepared_settings::impl {
  call_settings given;
  std::shared_ptr<const proto::call_options> options;   // null: the defaults
  std::shared_ptr<const proto::call_options> unheard;   // the same with no_reply
  std::shared_ptr<const proto::call_options> streamed;  // the same with a window
};

namespace net {

enum class call_kind : std::uint8_t { call, notify, stream };

/// Consecutive calls that are alike.
struct intake_run {
  std::uint64_t first = 0;
  std::string method;
  std::shared_ptr<const prepared_settings::impl> settings;
  std::shared_ptr<const proto::call_options> options;
  proto::time_point started;  // of the first
  proto::time_point limit;    // the running handler's own deadline
  call_kind kind = call_kind::call;
  std::shared_ptr<raw_reader::impl> reader;  // a stream's
  proto::pack_builder arguments;
};

/// What has been made and not been given to the machine: calls, as runs of what is alike; and
/// what has been said about earlier ones.
///
/// Threads    None of its own; used under its client's input lock.
class call_intake {
 public:
  struct request {
    std::string_view method;
    const prepared_settings* settings = nullptr;
    call_kind kind = call_kind::call;
    proto::time_point now;
    /// How much earlier than asked for a deadline may be, so that calls made in a row share
    /// one.
    proto::duration tolerance{};
    bool together = false;                       ///< with the one before it, in the same breath
    std::shared_ptr<raw_reader::impl> reader{};  ///< of a stream
  };
  struct taken {
    std::uint64_t stream = 0;
    std::uint64_t got = 0;
    std::uint64_t bytes = 0;
  };
  struct contents {
    std::vector<intake_run> runs;
    std::vector<receivers::entry> entries;  // one for each call
    std::vector<proto::seq_range> cancels;  // of these or of earlier ones
    std::vector<taken> reads;               // streams: elements that were read
    [[nodiscard]] bool empty() const {
      return runs.empty() && cancels.empty() && reads.empty();
    }
    void clear();
  };

  /// Returns the call's number.
  std::uint64_t add(const request& r, std::string_view arguments, receivers::entry to);
  void cancel(proto::seq_range calls) { contents_.cancels.push_back(calls); }
  void read(std::uint64_t stream, std::uint64_t got, std::uint64_t bytes) {
    contents_.reads.push_back({stream, got, bytes});
  }
  [[nodiscard]] bool empty() const { return contents_.empty(); }
  /// Calls made so far.
  [[nodiscard]] std::uint64_t made() const { return next_ - 1; }
  /// Exchanges what there is for an empty one.
  void take(contents& into) {
    into.clear();
    std::swap(contents_, into);
  }

 private:
  [[nodiscard]] bool continues(const request& r, std::size_t bytes) const;
  void begin(const request& r);

  contents contents_;
  std::uint64_t next_ = 1;
};

}  // namespace net
}  // namespace weir
