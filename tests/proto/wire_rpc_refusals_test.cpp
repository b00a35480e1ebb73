#include "proto/foreign_headers.hpp"
#include "proto/limits.hpp"
#include "proto/wire.hpp"

#include <doctest/doctest.h>

#include <functional>

namespace wire_rpc_refusals_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::test;

namespace {

/// A CALL of one run of calls without arguments' bytes, with these options.
template <class Options>
std::string call_header(std::uint64_t first, std::uint64_t count, std::string_view method,
                        std::uint64_t ttl, Options options) {
  return packed([&](packer& out) {
    out.pack_array(3).pack(20).pack(0).pack_array(1).pack_array(6);
    out.pack(first).pack(count);
    pack_text(out, method);
    out.pack(ttl).pack(0);
    options(out);
  });
}
std::string call_header(std::uint64_t first, std::uint64_t count, std::string_view method = "a",
                        std::uint64_t ttl = 1) {
  return call_header(first, count, method, ttl, [](packer& out) { out.pack_nil(); });
}
/// A CALL with one option.
std::string option_header(std::string_view name, const std::function<void(packer&)>& value) {
  return call_header(1, 1, "a", 1, [&](packer& out) {
    out.pack_map(1);
    pack_text(out, name);
    value(out);
  });
}
std::string number_option(std::string_view name, std::uint64_t value) {
  return option_header(name, [&](packer& out) { out.pack(value); });
}

/// A REPLY of one run without bytes, and what comes after the code.
template <class Rest>
std::string reply_header(std::uint64_t count, std::uint64_t code, std::uint32_t more,
                         Rest rest) {
  return packed([&](packer& out) {
    out.pack_array(2).pack(21).pack_array(1).pack_array(4 + more);
    out.pack(1).pack(count).pack(0).pack(code);
    rest(out);
  });
}

/// An OFFER of methods with this name and, as a map's only entry, this.
template <class Entry>
std::string offer_header(std::uint32_t methods, std::string_view name, Entry entry) {
  return packed([&](packer& out) {
    out.pack_array(2).pack(19).pack_array(methods);
    for (std::uint32_t i = 0; i < methods; ++i) {
      out.pack_array(2);
      pack_text(out, name);
      out.pack_map(1);
      entry(out);
    }
  });
}

std::string credit_header(std::initializer_list<std::uint64_t> figures) {
  return packed([&](packer& out) {
    out.pack_array(2).pack(22).pack_array(static_cast<std::uint32_t>(figures.size()));
    for (const auto figure : figures) out.pack(figure);
  });
}

}  // namespace

TEST_SUITE("wire: calls at each limit, and one past it") {
  TEST_CASE("call numbers, counts, deadlines") {
    CHECK(refusal(call_header(1, limits::items)) == accepted);
    CHECK(refusal(call_header(1, limits::items + 1)) == reject::out_of_range);
    CHECK(refusal(call_header(1, 0)) == reject::out_of_range);
    CHECK(refusal(call_header(0, 1)) == reject::out_of_range);
    CHECK(refusal(call_header(limits::seq, 1)) == accepted);
    CHECK(refusal(call_header(limits::seq, 2)) == reject::out_of_range);
    CHECK(refusal(call_header(1, 1, "a", 0xFFFFFFFF)) == accepted);
    CHECK(refusal(call_header(1, 1, "a", 0x100000000)) == reject::out_of_range);
    CHECK(refusal(call_header(1, 1, "a", 0)) == reject::out_of_range);
  }

  TEST_CASE("a method's name") {
    CHECK(refusal(call_header(1, 1, std::string(limits::method_bytes, 'm'))) == accepted);
    CHECK(refusal(call_header(1, 1, std::string(limits::method_bytes + 1, 'm'))) ==
          reject::out_of_range);
    CHECK(refusal(call_header(1, 1, "")) == reject::out_of_range);
  }

  TEST_CASE("options") {
    CHECK(refusal(number_option("pr", limits::priority)) == accepted);
    CHECK(refusal(number_option("pr", limits::priority + 1)) == reject::out_of_range);
    CHECK(refusal(number_option("at", 1)) == accepted);
    CHECK(refusal(number_option("at", 0)) == reject::out_of_range);
    CHECK(refusal(number_option("sw", 0xFFFFFFFF)) == accepted);
    CHECK(refusal(number_option("sw", 0x100000000)) == reject::out_of_range);
    CHECK(refusal(number_option("nr", 1)) == reject::wrong_type);
    CHECK(refusal(number_option("later", 1)) == accepted);
    CHECK(refusal(number_option("!later", 1)) == reject::must_understand);
    for (const auto* key : {"hk", "ik"}) {
      const auto of = [&](std::size_t length) {
        return option_header(key,
                             [&](packer& out) { pack_bytes(out, std::string(length, 'k')); });
      };
      CHECK(refusal(of(limits::key_bytes)) == accepted);
      CHECK(refusal(of(limits::key_bytes + 1)) == reject::out_of_range);
      CHECK(refusal(option_header(key, [](packer& out) { out.pack("text"); })) ==
            reject::wrong_type);
    }
  }

  TEST_CASE("metadata, its entries and its bytes") {
    const auto of = [](std::uint32_t entries, std::size_t bytes_each) {
      return option_header("md", [&](packer& out) {
        out.pack_map(entries);
        for (std::uint32_t i = 0; i < entries; ++i) {
          pack_text(out, "key");
          pack_text(out, std::string(bytes_each - 3, 'v'));
        }
      });
    };
    CHECK(refusal(of(limits::map_entries, 10)) == accepted);
    CHECK(refusal(of(limits::map_entries + 1, 10)) == reject::out_of_range);
    CHECK(refusal(of(2, limits::metadata_bytes / 2)) == accepted);
    CHECK(refusal(of(2, limits::metadata_bytes / 2 + 1)) == reject::out_of_range);
  }

  TEST_CASE("status codes, details for each reply, what is attached to an error") {
    const auto nothing = [](packer&) {};
    CHECK(refusal(reply_header(1, 16, 0, nothing)) == accepted);
    CHECK(refusal(reply_header(1, 17, 0, nothing)) == reject::out_of_range);
    const auto details = [](std::uint32_t n) {
      return [n](packer& out) {
        out.pack_array(n);
        for (std::uint32_t i = 0; i < n; ++i) out.pack_nil();
      };
    };
    CHECK(refusal(reply_header(3, 2, 1, details(3))) == accepted);
    CHECK(refusal(reply_header(3, 2, 1, details(2))) == reject::out_of_range);
    CHECK(refusal(reply_header(3, 2, 1, details(4))) == reject::out_of_range);
    const auto data = [](std::size_t length) {
      return [length](packer& out) {
        out.pack_array(1).pack_map(1).pack("data");
        pack_bytes(out, std::string(length, 'd'));
      };
    };
    CHECK(refusal(reply_header(1, 2, 1, data(limits::error_data_bytes))) == accepted);
    CHECK(refusal(reply_header(1, 2, 1, data(limits::error_data_bytes + 1))) ==
          reject::out_of_range);
  }

  TEST_CASE("methods, arguments and endpoints of an offer") {
    const auto nothing = [](packer& out) { out.pack("par").pack(0); };
    CHECK(refusal(offer_header(limits::methods, "m", nothing)) == accepted);
    CHECK(refusal(offer_header(limits::methods + 1, "m", nothing)) == reject::out_of_range);
    CHECK(refusal(offer_header(1, "", nothing)) == reject::out_of_range);
    const auto arguments = [](std::uint32_t n) {
      return [n](packer& out) {
        out.pack("args").pack_array(n);
        for (std::uint32_t i = 0; i < n; ++i) out.pack_array(2).pack("a").pack("int");
      };
    };
    CHECK(refusal(offer_header(1, "m", arguments(limits::arguments))) == accepted);
    CHECK(refusal(offer_header(1, "m", arguments(limits::arguments + 1))) ==
          reject::out_of_range);
    const auto direct = [](std::uint32_t n) {
      return packed([&](packer& out) {
        out.pack_array(3).pack(19).pack_array(0).pack_map(1).pack("direct").pack_array(n);
        for (std::uint32_t i = 0; i < n; ++i) out.pack("tcp://h:1");
      });
    };
    CHECK(refusal(direct(limits::direct_endpoints)) == accepted);
    CHECK(refusal(direct(limits::direct_endpoints + 1)) == reject::out_of_range);
  }

  TEST_CASE("credit ascends by call, and nothing is taken that was not granted") {
    CHECK(refusal(credit_header({})) == accepted);
    CHECK(refusal(credit_header({1, 0, 0, 2, 5, 5})) == accepted);
    CHECK(refusal(credit_header({1, 0})) == reject::out_of_range);
    CHECK(refusal(credit_header({0, 0, 1})) == reject::out_of_range);
    CHECK(refusal(credit_header({2, 0, 1, 2, 0, 1})) == reject::out_of_range);
    CHECK(refusal(credit_header({1, 6, 5})) == reject::out_of_range);
  }

  TEST_CASE("elements of streams count from 1, over all calls of a message") {
    const auto parts = [](std::uint64_t first, std::uint32_t count) {
      return packed([&](packer& out) {
        out.pack_array(2).pack(5).pack_array(2);
        out.pack_array(4).pack(1).pack(1).pack(limits::items - 1).pack(0);
        out.pack_array(4).pack(2).pack(first).pack(count).pack(0);
      });
    };
    CHECK(refusal(parts(1, 1)) == accepted);
    CHECK(refusal(parts(0, 1)) == reject::out_of_range);
    CHECK(refusal(parts(1, 2)) == reject::out_of_range);
    CHECK(refusal(parts(limits::seq, 1)) == accepted);
    CHECK(refusal(parts(limits::seq + 1, 1)) == reject::out_of_range);
  }

  TEST_CASE("calls without the bytes of their arguments, or with more, are refused") {
    const frames f = encode(call_batch{0, {{1, "a", 1, pack::of("\x90"), nullptr}}});
    CHECK(refusal(f.header, "\x90") == accepted);
    CHECK(refusal(f.header) == reject::body_mismatch);
    CHECK(refusal(f.header, "\x90\x90") == reject::body_mismatch);
    CHECK(refusal(encode(cancel_calls{{{1, 1}}, ""}).header, "x") == reject::body_mismatch);
  }
}

}  // namespace wire_rpc_refusals_test
