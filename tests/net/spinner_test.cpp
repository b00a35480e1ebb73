#include "net/spinner.hpp"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using weir::net::spinner;

TEST_CASE("a node spins once most of its waits are short, and stops when they are long") {
  spinner s(2);
  CHECK_FALSE(s.worthwhile());
  for (int i = 0; i < 20; ++i) s.waited(150us, true);
  CHECK(s.worthwhile());
  for (int i = 0; i < 20; ++i) s.waited(5ms, true);
  CHECK_FALSE(s.worthwhile());
}

TEST_CASE("a short wait that nothing came of is no reason to spin") {
  spinner s(2);
  for (int i = 0; i < 100; ++i) s.waited(10us, false);
  CHECK_FALSE(s.worthwhile());
}

TEST_CASE("one long wait among short ones does not stop it") {
  spinner s(2);
  for (int i = 0; i < 40; ++i) s.waited(150us, true);
  s.waited(20ms, true);
  CHECK(s.worthwhile());
}

TEST_CASE("with one processor nobody spins") {
  spinner s(1);
  for (int i = 0; i < 100; ++i) s.waited(10us, true);
  CHECK_FALSE(s.worthwhile());
}
