// How a call's outcome becomes an exit code.
#pragma once

#include <weir/status.hpp>

namespace weir::cli {

/// By class of status, so that a script can tell what to do about it without reading text:
///
///     0  OK
///     1  the method failed: UNKNOWN, ABORTED, FAILED_PRECONDITION, OUT_OF_RANGE,
///     ALREADY_EXISTS,
///        DATA_LOSS, INTERNAL
///     2  the call was wrong: INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED
///     3  DEADLINE_EXCEEDED
///     4  not now: UNAVAILABLE, RESOURCE_EXHAUSTED
///     5  PERMISSION_DENIED, UNAUTHENTICATED
///     6  CANCELLED
///
/// and those of weir/error.hpp for what is not a call's outcome (64 usage, 69 nobody there,
/// ...).
[[nodiscard]] int exit_status(status code) noexcept;

}  // namespace weir::cli
