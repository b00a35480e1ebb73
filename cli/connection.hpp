// How the verbs reach a gateway or a worker, and ask it things.
#pragma once

#include "arguments.hpp"
#include "interruption.hpp"
#include "node_main.hpp"

#include <weir/call_settings.hpp>
#include <weir/raw_client.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weir::cli {

/// Where to, and with how much patience.
struct connection_options {
  std::string endpoint;
  /// Several endpoints may be given: for what any gateway does as well as another.
  bool several = false;
  client_options client{};
  interruption* ends = nullptr;  ///< what ends it early, and cancels its calls
  connection_options();
};

/// The positional ENDPOINT, required; --connect-timeout, --insecure. Set `target.several`
/// before.
void add_connection(CLI::App& app, connection_options& target);
/// The same but for the endpoint.
void add_patience(CLI::App& app, connection_options& target);

/// A client that has found its peer.
///
/// Errors     weir::error `unavailable`, naming the endpoint, if nobody is there in time;
///            `usage` if there are several and may not be.
class connection {
 public:
  connection(connection_options options, nodes::node_context& context);

  [[nodiscard]] raw_client& client() { return client_; }
  /// Asks one of the node's own methods. Errors: rpc_error.
  [[nodiscard]] std::string ask(const std::string& method,
                                const std::vector<std::string>& packed_arguments,
                                const call_settings& settings = {});
  /// What `weir.services` says of a method; nothing if it is not among them.
  [[nodiscard]] std::optional<described_method> describe(const std::string& method);

 private:
  raw_client client_;
  std::unique_ptr<nodes::watcher> watch_;
};

/// A packed map, as the node's own methods answer. What is missing or of another type is empty.
class answer {
 public:
  explicit answer(std::string_view packed);
  [[nodiscard]] std::string text(const std::string& key) const;
  [[nodiscard]] double number(const std::string& key, double otherwise = 0) const;
  [[nodiscard]] bool flag(const std::string& key) const { return number(key) != 0; }
  [[nodiscard]] std::vector<answer> list(const std::string& key) const;
  [[nodiscard]] answer part(const std::string& key) const;
  [[nodiscard]] bool has(const std::string& key) const { return entries_.contains(key); }
  /// Packed; nil if it is missing.
  [[nodiscard]] std::string packed(const std::string& key) const;

 private:
  std::map<std::string, std::string> entries_;
};

/// An array of maps. Errors: weir::error `protocol` if it is none.
[[nodiscard]] std::vector<answer> answers(std::string_view packed);
[[nodiscard]] described_method method_of(const answer& service);

/// "UNAVAILABLE: the worker died (std::runtime_error; via gateway-1@host)".
[[nodiscard]] std::string failure_text(status code, const std::string& message,
                                       const rpc_error::more& more);

/// Runs a verb's body: an rpc_error that escapes it is said, and becomes an exit status.
[[nodiscard]] int reporting(nodes::node_context& context, const std::function<int()>& body);

/// For the manuals: what 0 to 6 mean.
[[nodiscard]] std::vector<nodes::status_meaning> call_statuses();

/// Standard output. What cannot be written is an error.
void print(std::string_view text);

}  // namespace weir::cli
