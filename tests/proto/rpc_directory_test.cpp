// Which methods a gateway remembers.
#include "proto/rpc/directory.hpp"

#include <doctest/doctest.h>

#include <string>

namespace rpc_directory_test {

using namespace weir::proto;

TEST_CASE(
    "made-up methods are forgotten, and the table is not looked through for each of them") {
  directory d({});
  const auto now = time_point{} + std::chrono::hours(1);
  int made = 0;
  const auto make_up = [&](int count, bool waiting) {
    for (int i = 0; i < count; ++i) d.method(std::to_string(++made), now).waiting = waiting;
  };
  make_up(100'000, false);
  CHECK(d.methods().size() <= 16'384);
  // With a queue each they have to stay, and with them the latest of the others.
  make_up(20'000, true);
  CHECK(d.methods().size() >= 20'000);
  const auto with_queue = d.methods().size();
  std::size_t looked_through = 0;
  for (int i = 0; i < 50'000; ++i) {
    const auto before = d.methods().size();
    make_up(1, false);
    if (d.methods().size() <= before) ++looked_through;
  }
  CHECK(looked_through > 0);
  CHECK(looked_through < 10);
  CHECK(d.methods().size() < with_queue + 16'384);
}

}  // namespace rpc_directory_test
