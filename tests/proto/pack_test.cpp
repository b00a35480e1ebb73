#include "proto/pack.hpp"

#include <doctest/doctest.h>

#include <string>

namespace pack_test {

using weir::proto::pack;
using weir::proto::pack_builder;

namespace {
pack pack_of(std::initializer_list<std::string_view> payloads) {
  pack_builder builder;
  for (const auto payload : payloads) builder.add(payload);
  return builder.take();
}
}  // namespace

TEST_SUITE("pack") {
  TEST_CASE("payloads of different lengths come back as they went in, empty ones too") {
    const pack p = pack_of({"a", "", "three", std::string_view("\0x", 2)});
    REQUIRE(p.size() == 4);
    CHECK_FALSE(p.uniform());
    CHECK(p[0] == "a");
    CHECK(p[1].empty());
    CHECK(p[2] == "three");
    CHECK(p.length(2) == 5);
    CHECK(p[3] == std::string_view("\0x", 2));
    CHECK(p.bytes() == 8);
  }

  TEST_CASE("payloads of one length need no table of offsets") {
    const pack p = pack_of({"aa", "bb", "cc"});
    CHECK(p.uniform());
    CHECK(p[2] == "cc");
    CHECK(p.length(1) == 2);
  }

  TEST_CASE("a slice shares the bytes and counts from its own first payload") {
    for (const pack& p : {pack_of({"a", "bb", "ccc", "dddd"}), pack_of({"a", "b", "c", "d"})}) {
      const pack middle = p.slice(1, 2);
      REQUIRE(middle.size() == 2);
      CHECK(middle[0] == p[1]);
      CHECK(middle[1] == p[2]);
      CHECK(middle.body().bytes.data() == p[1].data());
      CHECK(middle.slice(1, 1)[0] == p[2]);
      CHECK(middle.slice(2, 0).empty());
    }
  }

  TEST_CASE("a compacted slice has the same payloads in memory of its own") {
    for (const pack& p : {pack_of({"a", "bb", "ccc"}), pack_of({"aa", "bb", "cc"})}) {
      const pack own = p.slice(1, 2).compacted();
      REQUIRE(own.size() == 2);
      CHECK(own[0] == p[1]);
      CHECK(own[1] == p[2]);
      CHECK(own.body().owner != p.body().owner);
    }
  }

  TEST_CASE("a builder takes no more bytes than a pack can have") {
    pack_builder builder(10);
    builder.add("sixsix");
    CHECK_THROWS_AS(builder.add("fives"), std::length_error);
    builder.add("four");
    const pack p = builder.take();
    CHECK(p.size() == 2);
    CHECK(p[1] == "four");
    CHECK(pack_builder(SIZE_MAX).most_bytes == UINT32_MAX);
  }

  TEST_CASE("a builder starts afresh after take") {
    pack_builder builder;
    builder.add("one");
    CHECK(builder.take().size() == 1);
    CHECK(builder.empty());
    CHECK(builder.take().empty());
    builder.add("four");
    builder.add("five5");
    const pack p = builder.take();
    CHECK_FALSE(p.uniform());
    CHECK(p[0] == "four");
  }
}

}  // namespace pack_test
