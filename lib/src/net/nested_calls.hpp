// Calls that a handler makes, and that end with its own.
#pragma once

#include "exec/call.hpp"

#include <weir/raw_client.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace weir::net {

/// A client, as long as it is there.
///
/// Threads    Any.
class client_gate {
 public:
  explicit client_gate(raw_client::impl& client) : client_(&client) {}
  void close();
  void cancel(call_handle calls) noexcept;

 private:
  std::mutex mutex_;
  raw_client::impl* client_;
};

/// What one handler has called with one client: it is cancelled when the handler's own call is.
///
/// Threads    add() by the handler's, stop() by any.
class nested_calls final : public exec::dependent {
 public:
  explicit nested_calls(std::shared_ptr<client_gate> client) : client_(std::move(client)) {}

  /// `calls` are made already. `through`: the client, which is there, as it is being used.
  void add(call_handle calls, raw_client::impl& through);
  void stop() noexcept override;

 private:
  const std::shared_ptr<client_gate> client_;
  std::mutex mutex_;  // over the rest
  bool stopped_ = false;
  std::vector<call_handle> calls_;  // ascending; some of them may have ended
  std::size_t look_through_ = 64;   // when there are so many
};

}  // namespace weir::net
