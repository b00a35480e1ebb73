#include <weir/memory.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <memory>

#if defined(__GLIBC__)
#include <malloc.h>

#include <thread>

TEST_CASE("memory that is freed is kept for the next message, on every thread") {
  weir::keep_freed_memory();
  constexpr std::size_t message = 512 * 1024;  // beyond the default threshold for mmap()
  const auto take = [] {
    return std::unique_ptr<void, decltype(&std::free)>(std::malloc(message), &std::free);
  };

  const auto mapped = mallinfo2().hblks;
  const auto piece = take();
  REQUIRE(piece);
  CHECK(mallinfo2().hblks == mapped);

  // Several that lie behind one another, as results do while they are written.
  std::thread([&] {
    std::size_t kept = 0;
    {
      const auto first = take();
      const auto second = take();
      const auto third = take();
      kept = mallinfo2().arena;
    }
    CHECK(mallinfo2().arena == kept);
  }).join();
}
#endif
