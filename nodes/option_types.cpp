#include "option_types.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace weir::nodes {

namespace {

struct unit {
  std::string_view name;
  double factor;
};

constexpr std::array<unit, 5> time_units{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::array<unit, 4> size_units{
    {{"T", 0x1p40}, {"G", 0x1p30}, {"M", 0x1p20}, {"K", 0x1p10}}};

struct quantity {
  double number = 0;
  std::string_view unit;
};

// A number that is not negative, and what follows it.
quantity split(std::string_view text, std::string_view what) {
  quantity q;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), q.number,
                                              std::chars_format::fixed);
  if (failure != std::errc{} || !std::isfinite(q.number) || q.number < 0)
    throw error(exit_code::usage, "'" + std::string(text) + "' is not " + std::string(what));
  q.unit = text.substr(static_cast<std::size_t>(end - text.data()));
  return q;
}

/// The number times its unit; an integer that std::uint64_t and std::int64_t can hold.
std::uint64_t whole(double value, std::string_view text) {
  if (value >= 0x1p62)
    throw error(exit_code::usage, "'" + std::string(text) + "' is too large");
  return static_cast<std::uint64_t>(std::llround(value));
}

template <typename Units>
std::string in_largest_unit(std::uint64_t n, const Units& units, std::string_view smallest) {
  for (const auto& u : units) {
    const auto factor = static_cast<std::uint64_t>(u.factor);
    if (n >= factor && n % factor == 0) return std::to_string(n / factor) + std::string(u.name);
  }
  return std::to_string(n) + std::string(smallest);
}

// CLI11 reports what its own exceptions say; ours would end the program as an error of weir's.
template <typename Parse>
CLI::Option* add_parsed(CLI::App& app, const std::string& flags, const std::string& type,
                        const std::string& shown_default, const std::string& description,
                        Parse parse) {
  return app
      .add_option_function<std::string>(
          flags,
          [parse, flags](const std::string& text) {
            try {
              parse(text);
            } catch (const error& e) {
              throw CLI::ValidationError(flags.substr(flags.find("--")), e.what());
            }
          },
          description)
      ->type_name(type)
      ->default_str(shown_default);
}

}  // namespace

std::chrono::milliseconds parse_duration(std::string_view text) {
  // As good as for ever, and the clock goes on for longer than that.
  constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 36'500);
  constexpr std::string_view what = "a length of time such as 500ms, 10s, 5m or 2h";
  double sum = 0;
  std::string_view rest = text;
  do {
    const quantity q = split(rest, what);
    const auto end = std::min(q.unit.find_first_of("0123456789."), q.unit.size());
    const std::string_view name = q.unit.empty() ? "s" : q.unit.substr(0, end);
    const auto* const u = std::find_if(time_units.begin(), time_units.end(),
                                       [&](const unit& each) { return each.name == name; });
    if (u == time_units.end())
      throw error(exit_code::usage, "'" + std::string(text) + "' is not " + std::string(what));
    sum += q.number * u->factor;
    rest = q.unit.substr(end);
  } while (!rest.empty());
  return std::min(longest,
                  std::chrono::milliseconds(static_cast<std::int64_t>(whole(sum, text))));
}

std::string format_interval(std::chrono::milliseconds length) {
  return in_largest_unit(static_cast<std::uint64_t>(length.count()), time_units, "ms");
}

std::uint64_t parse_size(std::string_view text) {
  constexpr std::string_view what = "a size such as 4096, 64K or 1M";
  const quantity q = split(text, what);
  std::string_view name = q.unit;
  for (const std::string_view suffix : {"iB", "B"})
    if (name.ends_with(suffix)) {
      name.remove_suffix(suffix.size());
      break;
    }
  if (name.empty() && !q.unit.starts_with("i")) return whole(q.number, text);
  for (const auto& u : size_units)
    if (name.size() == 1 && (name[0] & ~0x20) == u.name[0])
      return whole(q.number * u.factor, text);
  throw error(exit_code::usage, "'" + std::string(text) + "' is not " + std::string(what));
}

std::string format_size(std::uint64_t bytes) { return in_largest_unit(bytes, size_units, ""); }

CLI::Option* add_duration(CLI::App& app, const std::string& flags,
                          std::chrono::milliseconds& target, const std::string& description) {
  return add_parsed(app, flags, "TIME", format_interval(target), description,
                    [&target](const std::string& text) { target = parse_duration(text); });
}

CLI::Option* add_size(CLI::App& app, const std::string& flags, std::size_t& target,
                      const std::string& description) {
  return add_parsed(app, flags, "SIZE", format_size(target), description,
                    [&target](const std::string& text) { target = parse_size(text); });
}

CLI::Option* add_endpoints(CLI::App& app, const std::string& flags,
                           std::vector<std::string>& target, const std::string& env,
                           const std::string& description) {
  // One value each time: `--bind EP FILE` must leave FILE alone.
  CLI::Option* const option = app.add_option(flags, target, description)
                                  ->type_name("ENDPOINT")
                                  ->allow_extra_args(false)
                                  ->delimiter(',');
  if (!env.empty()) option->envname(env);
  std::string shown;
  for (const auto& one : target) shown += (shown.empty() ? "" : ",") + one;
  return option->default_str(shown);
}

}  // namespace weir::nodes
