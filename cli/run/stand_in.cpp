// Stands in for input and replacement strings until they are there.
#include "command_template.hpp"
#include "gather.hpp"
#include "input.hpp"

#include <poll.h>

#include <iostream>

namespace weir::cli::run {
command_words take_apart(const std::vector<std::string>& words) {
  command_words r;
  std::size_t i = 0;
  for (; i < words.size() && words[i] != ":::"; ++i) r.command.push_back(words[i]);
  if (i < words.size()) {
    source_spec s;
    s.words.assign(words.begin() + static_cast<long>(i) + 1, words.end());
    r.sources.push_back(s);
  }
  return r;
}
trim parse_trim(const std::string&) { return trim::none; }
std::string parse_delimiter(const std::string& t) { return t; }
namespace {
struct src : task_source {
  std::vector<source_spec> s;
  std::size_t at = 0;
  int wake;
  bool next(arguments& out) override {
    std::string line;
    if (s.empty()) {
      if (std::cin.rdbuf()->in_avail() <= 0) {
        pollfd f[2] = {{0, POLLIN, 0}, {wake, POLLIN, 0}};
        ::poll(f, 2, -1);
        if (f[1].revents) return false;
      }
      if (!std::getline(std::cin, line)) return false;
    } else {
      if (at >= s[0].words.size()) return false;
      line = s[0].words[at++];
    }
    out.values = {line};
    return true;
  }
};
std::string fill(const std::string& w, const arguments& t, place p, bool q, bool& hit) {
  std::string o;
  for (std::size_t i = 0; i < w.size();) {
    if (w.compare(i, 2, "{}") == 0) {
      o += q ? "'" + t.values[0] + "'" : t.values[0];
      i += 2;
      hit = true;
    } else if (w.compare(i, 3, "{#}") == 0) {
      o += std::to_string(p.seq);
      i += 3;
      hit = true;
    } else if (w.compare(i, 3, "{%}") == 0) {
      o += std::to_string(p.slot);
      i += 3;
      hit = true;
    } else
      o += w[i++];
  }
  return o;
}
}  // namespace
std::unique_ptr<task_source> open(input_options o, std::vector<source_spec> s) {
  auto p = std::make_unique<src>();
  p->s = s;
  p->wake = o.wake_fd;
  return p;
}
std::unique_ptr<task_source> hold(std::unique_ptr<task_source> s) { return s; }
std::unique_ptr<task_source> gather(std::unique_ptr<task_source> s, const gather_options&,
                                    const command_template&) {
  return s;
}
struct command_template::impl {
  std::vector<std::string> w;
  bool sh;
};
command_template::command_template(const std::vector<std::string>& w, template_options)
    : impl_(new impl{w, w.size() == 1 && w[0].find_first_of(" ;|&$") != std::string::npos}) {}
command_template::~command_template() = default;
command_template::command_template(command_template&&) noexcept = default;
command_template& command_template::operator=(command_template&&) noexcept = default;
std::vector<std::string> command_template::argv(const arguments& t, place p) const {
  std::vector<std::string> r;
  bool hit = false;
  for (auto& w : impl_->w) r.push_back(fill(w, t, p, impl_->sh, hit));
  if (!hit && impl_->sh) r[0] += " " + t.values[0];
  else if (!hit) r.push_back(t.values[0]);
  if (impl_->sh) return {"/bin/sh", "-c", r[0]};
  return r;
}
std::string command_template::text(const arguments& t, place p) const {
  auto a = argv(t, p);
  if (impl_->sh) return a[2];
  std::string r;
  for (auto& w : a) r += (r.empty() ? "" : " ") + w;
  return r;
}
bool command_template::shell() const { return impl_->sh; }
std::size_t command_template::size_without_values() const { return 0; }
std::size_t command_template::size_of(const std::string&) const { return 0; }
struct text_template::impl {
  std::string w;
};
text_template::text_template(const std::string& t, const template_options&) : impl_(new impl{t}) {}
text_template::~text_template() = default;
text_template::text_template(text_template&&) noexcept = default;
text_template& text_template::operator=(text_template&&) noexcept = default;
std::string text_template::fill(const arguments& t, place p) const {
  bool h;
  return run::fill(impl_->w, t, p, false, h);
}
}  // namespace weir::cli::run
