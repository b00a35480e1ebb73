// Runs seeds of tasks.
#include "sim/scenario.hpp"
#include "sim/seeds_main.hpp"
#include "sim/world.hpp"

int main(int argc, char** argv) {
  using namespace weir::sim;
  return seeds_main<world, decltype(&make_scenario)>(make_scenario)(argc, argv);
}
