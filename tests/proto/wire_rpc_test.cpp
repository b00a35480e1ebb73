#include "proto/foreign_headers.hpp"
#include "proto/limits.hpp"
#include "proto/wire.hpp"
#include "support/same_message.hpp"

#include <doctest/doctest.h>

#include <limits>

namespace wire_rpc_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::test;

namespace {

message decoded(const frames& f) {
  auto result = decode(f.header, f.body);
  REQUIRE(std::holds_alternative<message>(result));
  return std::get<message>(std::move(result));
}

template <class Message>
Message arrived(const Message& m) {
  return std::get<Message>(decoded(encode(m)));
}

std::shared_ptr<const call_options> shared(call_options o) {
  return std::make_shared<const call_options>(std::move(o));
}

pack row(std::uint32_t count, std::uint32_t length = 1) {
  return {blob::from(std::string(std::size_t{count} * length, '\1')), count, length};
}

method_info named(std::string name) {
  method_info m;
  m.name = std::move(name);
  return m;
}

reply_details full_details() {
  return {std::string(limits::text_bytes, 'm'),
          std::string(limits::text_bytes, 't'),
          std::string(limits::error_data_bytes, 'd'),
          std::string(limits::text_bytes, 'p'),
          std::numeric_limits<std::uint32_t>::max(),
          true,
          limits::seq};
}

}  // namespace

TEST_SUITE("wire: calls that are sent arrive") {
  TEST_CASE("a batch of calls takes no more header than one call") {
    const message m = call_batch{7, {{8, "add", 5000, row(4096, 3), nullptr}}};
    const frames f = encode(m);
    CHECK(f.header.size() < 30);
    CHECK(same(decoded(f), m));
  }

  TEST_CASE("calls of several methods travel in one message, and their bytes are not copied") {
    const pack all = row(10, 7);
    const call_batch m{0,
                       {{1, "a", 1, all.slice(0, 4), nullptr},
                        {5, "b", 2, all.slice(4, 6), shared({.priority = 0})}}};
    const frames f = encode(m);
    CHECK(f.body.bytes.data() == all.body().bytes.data());
    CHECK(same(decoded(f), m));
  }

  TEST_CASE("neighbouring calls with the same options share them") {
    call_options traced;
    traced.metadata = {{"traceparent", "00-1-2-01"}};
    // Different objects that say the same, with a run in between that says nothing.
    const auto got = arrived(call_batch{0,
                                        {{1, "a", 5, row(1), shared(traced)},
                                         {2, "b", 5, row(1), shared(traced)},
                                         {3, "c", 5, row(1), nullptr},
                                         {4, "d", 5, row(1), shared(traced)},
                                         {5, "e", 5, row(1), shared({.priority = 1})}}});
    REQUIRE(got.runs.size() == 5);
    CHECK(*got.runs[0].options == traced);
    CHECK(got.runs[1].options == got.runs[0].options);
    CHECK(got.runs[2].options == nullptr);
    CHECK(got.runs[3].options == got.runs[0].options);
    CHECK(got.runs[4].options->priority == 1);
  }

  TEST_CASE("options that are the defaults are not sent") {
    CHECK(encode(call_batch{0, {{1, "a", 5, row(1), shared({})}}}).header ==
          encode(call_batch{0, {{1, "a", 5, row(1), nullptr}}}).header);
    const auto empty_map = packed([](packer& out) {
      out.pack_array(3).pack(20).pack(0).pack_array(1).pack_array(6);
      out.pack(1).pack(1).pack("a").pack(5).pack(0).pack_map(0);
    });
    const auto m = std::get<message>(decode(empty_map, {}));
    CHECK(std::get<call_batch>(m).runs[0].options == nullptr);
  }

  TEST_CASE("details travel for those replies of a run that have some") {
    const reply_details why{"boom", "std::logic_error", "\xC0", "w1@h"};
    const message m = reply_batch{{{1, status::internal, row(3, 0), {{}, why, {}}}}};
    CHECK(same(decoded(encode(m)), m));
    const auto got = arrived(reply_batch{{{1, status::ok, row(3), {{}, {}, {}}}}});
    CHECK(got.runs[0].details.empty());
  }

  TEST_CASE("times travel with and without details") {
    const reply_run plain{1, status::ok, row(2), {}, 3, 0, 0};
    const reply_run both{3, status::ok, row(1), {{"", "", "", "", 0, false, 2}}, 0, 1, 99};
    const message m = reply_batch{{plain, both}};
    CHECK(same(decoded(encode(m)), m));
  }

  TEST_CASE("a method of which nothing is known is told from one without arguments") {
    method_info none = named("none");
    none.arguments_known = true;
    const auto got = arrived(offer{{named("any"), none}, {}});
    CHECK_FALSE(got.methods[0].arguments_known);
    CHECK(got.methods[1].arguments_known);
    CHECK(got.methods[1].arguments.empty());
  }

  TEST_CASE("batches of nothing are messages too") {
    for (const message& m : std::initializer_list<message>{
             call_batch{}, reply_batch{}, part_batch{}, credit{}, cancel_calls{}, offer{}})
      CHECK(same(decoded(encode(m)), m));
  }
}

TEST_SUITE("wire: a sender of calls keeps to the limits") {
  TEST_CASE("the descriptions of too many methods are left out, their names are not") {
    method_info wordy = named("");
    wordy.doc = wordy.signature = wordy.result = std::string(limits::text_bytes, 'd');
    wordy.idempotent = true;
    offer m;
    for (std::size_t i = 0; i <= limits::methods; ++i) {
      wordy.name = std::string(limits::method_bytes - 4, 'n') + std::to_string(1000 + i);
      m.methods.push_back(wordy);
    }
    m.direct.assign(limits::direct_endpoints + 1, std::string(limits::text_bytes, 'e'));
    const auto got = arrived(m);
    REQUIRE(got.methods.size() == limits::methods);
    CHECK(got.methods.front() == m.methods.front());
    CHECK(got.methods.back().name == m.methods[limits::methods - 1].name);
    CHECK(got.methods.back().doc.empty());
    CHECK(got.methods.back().idempotent);
    CHECK(got.direct.size() == limits::direct_endpoints);
  }

  TEST_CASE("arguments that are too many are described as unknown") {
    method_info m = named("f");
    m.arguments_known = true;
    m.arguments.assign(limits::arguments, {"a", "int"});
    CHECK(arrived(offer{{m}, {}}).methods[0] == m);
    m.arguments.push_back({"one more", "int"});
    CHECK_FALSE(arrived(offer{{m}, {}}).methods[0].arguments_known);
  }

  TEST_CASE("a deadline is never sent as none, a priority never above the highest") {
    const auto got = arrived(call_batch{0, {{1, "a", 0, row(1), shared({.priority = 200})}}});
    CHECK(got.runs[0].ttl_ms == 1);
    CHECK(got.runs[0].options->priority == limits::priority);
  }

  TEST_CASE("keys at their limit travel, one byte longer they would not be the same keys") {
    call_options o;
    o.hash_key = o.idempotency_key = std::string(limits::key_bytes, 'k');
    CHECK(*arrived(call_batch{0, {{1, "a", 5, row(1), shared(o)}}}).runs[0].options == o);
    o.hash_key += 'k';
    o.idempotency_key += 'k';
    CHECK(arrived(call_batch{0, {{1, "a", 5, row(1), shared(o)}}}).runs[0].options == nullptr);
  }

  TEST_CASE("metadata over its limits is left out, entry by entry") {
    call_options o;
    o.metadata = {{"k", std::string(limits::metadata_bytes - 1, 'v')}};
    CHECK(*arrived(call_batch{0, {{1, "a", 5, row(1), shared(o)}}}).runs[0].options == o);
    o.metadata.emplace_back("l", "");
    auto got = arrived(call_batch{0, {{1, "a", 5, row(1), shared(o)}}});
    CHECK(got.runs[0].options->metadata.size() == 1);
    o.metadata.assign(limits::map_entries + 1, {"k", "v"});
    got = arrived(call_batch{0, {{1, "a", 5, row(1), shared(o)}}});
    CHECK(got.runs[0].options->metadata.size() == limits::map_entries);
  }

  TEST_CASE("details that do not fit are left out, but not what a caller decides by") {
    reply_details rejected = full_details();
    rejected.parts = 0;
    reply_details ended = full_details();
    ended.retry_ms = 0;
    for (const auto& d : {rejected, ended}) {
      reply_batch m;
      for (std::uint64_t i = 0; i < limits::items; ++i)
        m.runs.push_back(
            {limits::seq - 2 * i, status::unavailable, row(1, 0), {d}, ~0u, ~0u, limits::seq});
      const auto got = arrived(m);
      REQUIRE(got.runs.size() == limits::items);
      CHECK(same(got.runs.front(), m.runs.front()));
      const auto& last = got.runs.back().details.at(0);
      CHECK(last.message.empty());
      CHECK(last.never_started);
      CHECK(last.retry_ms == d.retry_ms);
      CHECK(last.parts == d.parts);
      CHECK(got.runs.back().received_us == 0);
    }
  }

  TEST_CASE("what a handler attached to its error arrives whole or not at all") {
    reply_details d = full_details();
    CHECK(arrived(reply_batch{{{1, status::aborted, row(1, 0), {d}}}}).runs[0].details[0] == d);
    d.data += 'd';
    const auto got = arrived(reply_batch{{{1, status::aborted, row(1, 0), {d}}}});
    CHECK(got.runs[0].details[0].data.empty());
    CHECK(got.runs[0].details[0].message == d.message);
  }

  TEST_CASE("encoded_size is never less than what a run takes") {
    const auto header = [](const auto& batch) { return encode(batch).header.size(); };
    call_options o;
    o.priority = 1;
    o.no_reply = true;
    o.attempt = o.stream_window = o.stream_bytes = ~0u;
    o.hash_key = o.idempotency_key = std::string(limits::key_bytes, 'k');
    o.metadata.assign(30, {std::string(100, 'k'), std::string(160, 'v')});
    pack_builder uneven;
    for (std::size_t length : {0u, 70'000u, 3u}) uneven.add(std::string(length, 'x'));
    const call_run call{limits::seq - 9, std::string(limits::method_bytes, 'm'), ~0u,
                        uneven.take(), shared(o)};
    CHECK(header(call_batch{0, {call}}) - header(call_batch{0, {}}) <= encoded_size(call));
    const call_run small{1, "a", 1, row(1), nullptr};
    CHECK(header(call_batch{0, {small}}) - header(call_batch{0, {}}) <= encoded_size(small));
    CHECK(encoded_size(small) < 50);

    const reply_run reply{
        limits::seq - 9, status::unknown, row(2, 70'000), {full_details(), {}}, ~0u, ~0u,
        limits::seq};
    CHECK(header(reply_batch{{reply}}) - header(reply_batch{}) <= encoded_size(reply));
    CHECK(encoded_size(reply) <= encoded_size(full_details()) + 80);
  }

  TEST_CASE("calls and replies are cut into messages that lose nothing") {
    CHECK(fitting_calls({1, "a", 5, row(1000), nullptr}) == 1000);
    CHECK(fitting_calls({1, "a", 5, row(limits::items + 1), nullptr}) == limits::items);
    CHECK(fitting_calls({1, "a", 5, row(1000, 1024), nullptr}) == limits::batch_bytes / 1024);
    CHECK(fitting_calls({1, "a", 5, row(2, 1 << 20), nullptr}) == 1);
    CHECK(fitting_replies({1, status::ok, row(limits::items + 1), {}}) == limits::items);
    reply_run failed{1, status::unknown, row(100, 0), {}};
    failed.details.assign(100, full_details());
    const auto n = fitting_replies(failed);
    CHECK(n * encoded_size(full_details()) <= limits::details_bytes);
    CHECK((n + 1) * encoded_size(full_details()) > limits::details_bytes);
  }
}

}  // namespace wire_rpc_test
