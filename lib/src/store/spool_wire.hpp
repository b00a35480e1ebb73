// The spool's methods, `weir.submit` and so on: what their arguments and results look like.
// docs/protocol.md, "Built-in methods", describes them.
#pragma once

#include "store/call_table.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weir::store {

/// The arguments are not what the method takes; what() says what it does.
class wrong_arguments : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What a submission gets that leaves it out.
struct submission_defaults {
  std::string id;
  std::int64_t keep_ms = 0;
};

/// `weir.submit(method, arguments, options?)`. Throws wrong_arguments, as all below.
[[nodiscard]] submission read_submission(std::string_view arguments,
                                         const submission_defaults& defaults, unix_ms now);
/// One id, of `method`.
[[nodiscard]] std::string read_id(std::string_view arguments, const char* method);
/// Several; nothing if they are left out or nil.
[[nodiscard]] std::optional<std::vector<std::string>> read_ids(std::string_view arguments,
                                                               const char* method);
/// `weir.dead(after?)`: empty if left out.
[[nodiscard]] std::string read_after(std::string_view arguments);

[[nodiscard]] std::string written(const call_report& report);
[[nodiscard]] std::string written(std::span<const call_report> reports);
[[nodiscard]] std::string written(std::string_view text);
[[nodiscard]] std::string written(bool value);
[[nodiscard]] std::string written(std::uint64_t count);

}  // namespace weir::store
