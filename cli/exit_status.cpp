#include "exit_status.hpp"

namespace weir::cli {

int exit_status(status code) noexcept {
  switch (code) {
    case status::ok:
      return 0;
    case status::invalid_argument:
    case status::not_found:
    case status::unimplemented:
      return 2;
    case status::deadline_exceeded:
      return 3;
    case status::unavailable:
    case status::resource_exhausted:
      return 4;
    case status::permission_denied:
    case status::unauthenticated:
      return 5;
    case status::cancelled:
      return 6;
    case status::unknown:
    case status::aborted:
    case status::failed_precondition:
    case status::out_of_range:
    case status::already_exists:
    case status::data_loss:
    case status::internal:
      return 1;
  }
  return 1;
}

}  // namespace weir::cli
