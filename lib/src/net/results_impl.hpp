// What a weir::results is made of.
#pragma once

#include "proto/message.hpp"

#include <weir/results.hpp>

namespace weir {

struct results::impl {
  source_id source;
  proto::result_run run;
};

[[nodiscard]] inline results make_results(const source_id& source, proto::result_run run) {
  return results(std::make_shared<const results::impl>(results::impl{source, std::move(run)}));
}

}  // namespace weir
