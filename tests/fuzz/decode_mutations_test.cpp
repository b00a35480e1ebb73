#include "fuzz/decode_property.hpp"
#include "support/golden.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <random>

namespace {

using random_engine = std::mt19937_64;

std::size_t below(random_engine& random, std::size_t n) { return n == 0 ? 0 : random() % n; }

/// Bytes on which a MessagePack decoder takes another path.
constexpr unsigned char turns[] = {0x00, 0x01, 0x7F, 0x80, 0x8F, 0x90, 0x91, 0x9F, 0xA0, 0xBF,
                                   0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA,
                                   0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD0, 0xD3, 0xD4, 0xD8, 0xD9,
                                   0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xE0, 0xFF};

void mutate(std::string& bytes, const std::string& other, random_engine& random) {
  const std::size_t at = below(random, bytes.size());
  switch (random() % 7) {
    case 0:
      if (!bytes.empty()) bytes[at] = static_cast<char>(random());
      break;
    case 1:
      if (!bytes.empty()) bytes[at] = static_cast<char>(turns[random() % sizeof turns]);
      break;
    case 2:
      bytes.insert(at, 1, static_cast<char>(turns[random() % sizeof turns]));
      break;
    case 3:
      bytes.erase(at, 1 + below(random, 4));
      break;
    case 4:
      bytes.resize(at);
      break;
    case 5:
      bytes.insert(at, bytes.substr(below(random, bytes.size()), below(random, 40)));
      break;
    default:
      bytes = bytes.substr(0, at) + other.substr(below(random, other.size()));
      break;
  }
}

bool check(const std::string& header, const std::string& body) {
  const std::string input = weir::fuzz::joined(header, body);
  return weir::fuzz::check_decode(reinterpret_cast<const std::uint8_t*>(input.data()),
                                  input.size());
}

}  // namespace

TEST_SUITE("fuzz: the decoder") {
  // What breaks a property aborts. WEIR_FUZZ_ROUNDS=10000000 makes a night of it.
  TEST_CASE("what a peer sends is refused, or means the same after encode and decode") {
    const auto frames = weir::test::read_golden_frames(WEIR_PROTOCOL_PAGE);
    REQUIRE(frames.size() > 40);
    for (const auto& frame : frames)
      CHECK(check(frame.header, frame.body) == (frame.what != "refused"));
    const char* wanted = std::getenv("WEIR_FUZZ_ROUNDS");
    const long rounds = wanted ? std::atol(wanted) : 1'000'000;
    long accepted = 0;
    random_engine random(20'260'801);
    for (long round = 0; round < rounds; ++round) {
      const auto& frame = frames[below(random, frames.size())];
      const auto& other = frames[below(random, frames.size())];
      std::string header = frame.header;
      for (std::size_t n = 1 + below(random, 4); n > 0; --n)
        mutate(header, other.header, random);
      std::string body = frame.body;
      if (random() % 8 == 0) mutate(body, other.body, random);
      accepted += check(header, body);
    }
    // Neither all noise nor all harmless: both sides of the decoder are exercised.
    CHECK(accepted > rounds / 50);
    CHECK(accepted < rounds / 2);
  }
}
