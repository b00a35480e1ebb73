#include "proto/rpc/placement.hpp"

#include "proto/stable_hash.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace weir::proto {
namespace {
/// How much more than its share a worker may get for the sake of a key.
constexpr double bound = 1.25;

std::uint64_t mix(std::uint64_t z) {  // splitmix64's finaliser
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

std::vector<std::size_t> with_room(std::span<const candidate> workers, std::size_t first) {
  std::vector<std::size_t> able;
  able.reserve(workers.size());
  for (std::size_t i = 0; i < workers.size(); ++i) {
    const std::size_t at = (first + i) % workers.size();
    if (workers[at].room > 0) able.push_back(at);
  }
  return able;
}
}  // namespace

std::vector<share> share_out(std::span<const candidate> workers, std::uint64_t calls,
                             std::uint64_t piece, std::size_t first) {
  if (!workers.empty()) {
    const std::size_t at = first % workers.size();
    bool others_sleep = true;
    for (std::size_t i = 0; i < workers.size() && others_sleep; ++i)
      others_sleep = i == at || workers[i].in_hand == 0;
    if (others_sleep && calls <= std::min(workers[at].stay, workers[at].room))
      return {{at, calls}};
  }
  std::vector<share> shares;
  std::vector<std::size_t> able = with_room(workers, first);
  const auto less_loaded = [&](std::size_t a, std::size_t b) {
    return workers[a].load() < workers[b].load();
  };
  const std::size_t pieces = static_cast<std::size_t>(std::min<std::uint64_t>(
      able.size(), std::max<std::uint64_t>(1, calls / std::max<std::uint64_t>(1, piece))));
  if (pieces == 1 && !able.empty()) {
    const auto least = std::min_element(able.begin(), able.end(), less_loaded);
    if (workers[*least].room >= calls) return {{*least, calls}};
  }
  std::stable_sort(able.begin(), able.end(), less_loaded);
  // The level that all would be at: those above it already get nothing.
  std::size_t n = pieces;
  double in_hand = 0;
  double window = 0;
  for (std::size_t i = 0; i < n; ++i) {
    in_hand += static_cast<double>(workers[able[i]].in_hand);
    window += static_cast<double>(workers[able[i]].window);
  }
  const auto level = [&] { return (in_hand + static_cast<double>(calls)) / window; };
  while (n > 1 && workers[able[n - 1]].load() >= level()) {
    --n;
    in_hand -= static_cast<double>(workers[able[n]].in_hand);
    window -= static_cast<double>(workers[able[n]].window);
  }
  const double target = level();
  std::uint64_t left = calls;
  shares.reserve(able.size());
  for (std::size_t i = 0; i < n && left > 0; ++i) {
    const candidate& w = workers[able[i]];
    const double missing =
        target * static_cast<double>(w.window) - static_cast<double>(w.in_hand);
    const auto want = static_cast<std::uint64_t>(std::max(0.0, std::ceil(missing - 1e-9)));
    const std::uint64_t gets = std::min({want, w.room, left});
    if (gets == 0) continue;
    shares.push_back({able[i], gets});
    left -= gets;
  }
  // What rounding, or somebody's want of room, has left over: to whoever has room, least loaded
  // first.
  for (std::size_t i = 0; i < able.size() && left > 0; ++i) {
    const auto known = std::find_if(shares.begin(), shares.end(),
                                    [&](const share& s) { return s.to == able[i]; });
    const std::uint64_t has = known == shares.end() ? 0 : known->calls;
    const std::uint64_t gets = std::min(workers[able[i]].room - has, left);
    if (gets == 0) continue;
    if (known == shares.end())
      shares.push_back({able[i], gets});
    else
      known->calls += gets;
    left -= gets;
  }
  return shares;
}

std::vector<std::size_t> preference(std::span<const candidate> workers, std::string_view key) {
  const std::uint64_t h = stable_hash(key);
  std::vector<std::pair<std::uint64_t, std::size_t>> scored;
  scored.reserve(workers.size());
  for (std::size_t i = 0; i < workers.size(); ++i)
    scored.emplace_back(mix(h ^ mix(static_cast<std::uint64_t>(workers[i].id))), i);
  std::sort(scored.begin(), scored.end(), std::greater<>());
  std::vector<std::size_t> order;
  order.reserve(workers.size());
  for (const auto& [score, index] : scored) order.push_back(index);
  return order;
}

std::vector<share> share_by_key(std::span<const candidate> workers, std::uint64_t calls,
                                std::string_view key) {
  double in_hand = static_cast<double>(calls);
  double window = 0;
  for (const candidate& w : workers) {
    in_hand += static_cast<double>(w.in_hand);
    window += static_cast<double>(w.window);
  }
  const std::vector<std::size_t> order = preference(workers, key);
  std::vector<share> shares;
  std::uint64_t left = calls;
  for (const bool bounded : {true, false}) {
    for (const std::size_t i : order) {
      if (left == 0) return shares;
      const candidate& w = workers[i];
      const auto known =
          std::find_if(shares.begin(), shares.end(), [i](const share& s) { return s.to == i; });
      const std::uint64_t has = known == shares.end() ? 0 : known->calls;
      std::uint64_t most = w.room - has;
      if (bounded) {
        // Its share of all calls in hand; but as many as it has slots for, and one to come for
        // each, are never too many.
        const auto fair = static_cast<std::uint64_t>(
            std::ceil(bound * in_hand * static_cast<double>(w.window) / window));
        const std::uint64_t allowed = std::max<std::uint64_t>(fair, 2 * std::uint64_t{w.slots});
        most = std::min(most, allowed > w.in_hand ? allowed - w.in_hand : 0);
      }
      const std::uint64_t gets = std::min(most, left);
      if (gets == 0) continue;
      if (known == shares.end())
        shares.push_back({i, gets});
      else
        known->calls += gets;
      left -= gets;
    }
  }
  return shares;
}

}  // namespace weir::proto
