#include "proto/task_command.hpp"

#include "proto/limits.hpp"
#include "proto/msgpack_reader.hpp"

#include <msgpack.hpp>

namespace weir::proto {
namespace {

/// More arguments than any system takes.
constexpr std::uint32_t most_arguments = 1U << 20;

struct appender {
  std::string& to;
  void write(const char* bytes, std::size_t n) { to.append(bytes, n); }
};

}  // namespace

std::string encode(const task_command& command) {
  std::string out;
  appender to{out};
  msgpack::packer<appender> pack(to);
  const auto bin = [&](std::string_view bytes) {
    pack.pack_bin(static_cast<std::uint32_t>(bytes.size()));
    pack.pack_bin_body(bytes.data(), static_cast<std::uint32_t>(bytes.size()));
  };
  pack.pack_array(command.has_input ? 2 : 1);
  pack.pack_array(static_cast<std::uint32_t>(command.argv.size()));
  for (const auto& argument : command.argv) bin(argument);
  if (command.has_input) bin(command.input);
  return out;
}

std::optional<task_command> decode_command(std::string_view payload) {
  msgpack_reader in(payload);
  task_command command;
  auto left = in.array();
  if (!in.ok() || left == 0) return std::nullopt;
  const auto count = in.array();
  if (!in.ok() || count == 0 || count > most_arguments || count > payload.size())
    return std::nullopt;
  command.argv.reserve(count);
  for (std::uint32_t i = 0; i < count && in.ok(); ++i)
    command.argv.emplace_back(in.bin(limits::payload_bytes));
  if (--left > 0 && !in.nil()) {
    command.input = in.bin(limits::payload_bytes);
    command.has_input = true;
  }
  if (!in.ok() || command.argv[0].empty()) return std::nullopt;
  for (const auto& argument : command.argv)
    if (argument.find('\0') != std::string::npos) return std::nullopt;
  return command;
}

}  // namespace weir::proto
