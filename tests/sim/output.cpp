#include "sim/output.hpp"

namespace weir::sim {
using namespace std::chrono_literals;

output::output(world& w, std::function<void()> changed)
    : world_(w), changed_(std::move(changed)) {}

void output::open(const proto::opened_source& source) {
  order& o = orders_[index_of(source.source)];
  o.due = source.low + 1;
  for (const auto& range : source.done)
    for (auto seq = range.first; seq <= range.last; ++seq) o.done.insert(seq);
  while (o.done.contains(o.due)) ++o.due;
}

void output::give(std::vector<proto::commit_run> runs) {
  for (auto& c : runs) {
    std::vector<item> items;
    const auto index = index_of(c.source);
    for (std::uint32_t i = 0; i < c.run.payloads.size(); ++i)
      items.push_back({index, c.run.first + i, c.run.code, std::string(c.run.payloads[i])});
    if (world_.broken(sabotage::commit_not_awaited))
      done_.emplace_back(c.source, proto::seq_range{c.run.first, c.run.last()});
    if (!world_.plan().keep_order) {
      // Sometimes in parts, as a writer that is interrupted between batches would.
      if (items.size() > 1 && world_.chance().chance(0.1)) {
        const auto half = items.begin() + static_cast<std::ptrdiff_t>(items.size() / 2);
        queue_.emplace_back(items.begin(), half);
        items.erase(items.begin(), half);
      }
      queue_.push_back(std::move(items));
      continue;
    }
    order& o = orders_[index];
    for (auto& one : items) o.waiting.emplace(one.seq, std::move(one));
    std::vector<item> due;
    for (auto it = o.waiting.begin(); it != o.waiting.end() && it->first == o.due;) {
      due.push_back(std::move(it->second));
      it = o.waiting.erase(it);
      do ++o.due;
      while (o.done.contains(o.due));
      if (it != o.waiting.end() && it->first != due.back().seq + 1) {
        queue_.push_back(std::exchange(due, {}));
      }
    }
    if (!due.empty()) queue_.push_back(std::move(due));
  }
  next();
}

void output::write(const item& one) {
  auto& books = world_.books();
  world_.mix(one.seq * 31 + one.source);
  const bool third = one.seq % 3 == 0;
  if (world_.broken(sabotage::line_dropped) && third) return;
  if (world_.broken(sabotage::payload_altered) && third)
    return books.written(one.source, one.seq, one.code, one.payload + "?");
  books.written(one.source, one.seq, one.code, one.payload);
  if (world_.broken(sabotage::line_doubled) && third)
    books.written(one.source, one.seq, one.code, one.payload);
}

void output::next() {
  if (writing_ || queue_.empty()) return;
  writing_ = true;
  const auto most = world_.plan().commit_time;
  const auto takes = most == 0ms ? duration(20us) : world_.chance().between(most / 8, most);
  world_.at(world_.now() + takes, [this] {
    writing_ = false;
    if (stopped_) return;
    const auto items = std::move(queue_.front());
    queue_.pop_front();
    for (const auto& one : items) write(one);
    world_.progress();
    if (!world_.broken(sabotage::commit_not_awaited))
      done_.emplace_back(source_of(items.front().source),
                         proto::seq_range{items.front().seq, items.back().seq});
    changed_();
    next();
  });
}

std::vector<output::done_range> output::take() { return std::exchange(done_, {}); }

}  // namespace weir::sim
