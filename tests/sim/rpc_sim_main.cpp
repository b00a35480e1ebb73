// Runs seeds of calls.
#include "sim/rpc_scenario.hpp"
#include "sim/rpc_world.hpp"
#include "sim/seeds_main.hpp"

int main(int argc, char** argv) {
  using namespace weir::sim;
  return seeds_main<rpc_world, decltype(&make_rpc_scenario)>(make_rpc_scenario)(argc, argv);
}
