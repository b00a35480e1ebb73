// What slots have finished of calls, until the loop takes it.
#pragma once

#include "exec/claim.hpp"
#include "proto/message.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/time.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weir::exec {

/// Outcomes of calls, elements of streams, reports: what a pool of calls has for the loop.
struct call_news {
  struct answered {
    proto::session_id to{};
    proto::reply_run outcomes;
  };
  struct produced {
    proto::call_key key;
    proto::pack elements;
  };
  struct reported {
    proto::call_key key;
    std::uint64_t done = 0;
    std::uint64_t total = 0;
    std::string text;
  };
  std::vector<reported> reports;   ///< the newest of each call
  std::vector<produced> elements;  ///< of one stream, in order
  std::vector<answered> answers;   ///< ascending for each caller; behind their elements
  void clear() {
    reports.clear();
    elements.clear();
    answers.clear();
  }
};

/// Gathers what several slots hand over one by one, and hands it out as runs: consecutive calls
/// with one status are one run in one piece of memory, however many slots have answered them.
///
/// Threads    Any.
class answer_box {
 public:
  struct timing {
    std::uint32_t queued_us = 0;
    std::uint32_t service_us = 0;
    [[nodiscard]] static timing of(proto::duration queued, proto::duration service);
  };
  /// Copies `result` if it is small, and takes it if not. `details`: null unless it failed.
  void answer(const proto::call_key& key, status code, std::string& result,
              std::unique_ptr<proto::reply_details> details, timing took,
              proto::time_point now);
  void element(const proto::call_key& key, std::string& element, proto::time_point now);
  void report(const proto::call_key& key, std::uint64_t done, std::uint64_t total,
              std::string_view text);
  /// Replaces what `out` had.
  void take(call_news& out);

  /// When the oldest answer or element came that nobody has taken; time_point::max(): none.
  [[nodiscard]] proto::time_point waiting_since() const {
    return proto::time_point(proto::duration(since_.load(std::memory_order_acquire)));
  }

 private:
  static constexpr proto::duration::rep nothing =
      proto::time_point::max().time_since_epoch().count();
  struct record {
    proto::call_key key;
    timing took;
    std::uint32_t offset = 0;  // in the body
    std::uint32_t length = 0;
    status code = status::ok;
    std::unique_ptr<proto::reply_details> details;
    std::unique_ptr<std::string> large;  // instead of a place in the body
  };
  struct stream_elements {
    proto::call_key key;
    proto::pack_builder elements;
  };
  struct contents {
    std::string body;
    std::vector<record> records;
    std::vector<stream_elements> streams;
    std::vector<call_news::reported> reports;
    bool ordered = true;
  };
  void came(proto::time_point now) {
    if (since_.load(std::memory_order_relaxed) == nothing)
      since_.store(now.time_since_epoch().count(), std::memory_order_release);
  }
  static void put_in_order(contents& what);
  static bool continues(const record& before, const record& after, const record& first);
  static void make_runs(contents& what, call_news& out);

  claim_lock lock_;  // over contents_
  contents contents_;
  std::atomic<proto::duration::rep> since_ = nothing;
  contents taken_;  // the one taker's: keeps its memory
};

}  // namespace weir::exec
