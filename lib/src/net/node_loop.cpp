#include "net/node_loop.hpp"

#include "proto/limits.hpp"

#include <unistd.h>

#include <random>

namespace weir::net {

std::uint64_t entropy() {
  std::random_device system;
  return (std::uint64_t{system()} << 32) | system();
}

std::string host_name() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0) return "unknown-host";
  return name;
}

void check(const node_options& options, const char* role, bool alone) {
  using namespace std::chrono_literals;
  if (!alone && options.bind.empty() && options.connect.empty())
    throw error(exit_code::usage,
                std::string(role) + ": there is no endpoint to bind or to connect to");
  if (options.heartbeat < 10ms || options.heartbeat > 60s)
    throw error(exit_code::usage, "the heartbeat must be from 10 ms to 60 s");
  if (options.name.size() > proto::limits::text_bytes)
    throw error(exit_code::usage, "the name must not be longer than " +
                                      std::to_string(proto::limits::text_bytes) + " bytes");
}

proto::links::options introduce(proto::role role, const node_options& options,
                                std::vector<proto::role> accepts) {
  proto::links::options links;
  links.self.role = role;
  links.self.name = options.name.empty()
                        ? std::string(to_string(role)) + "-" + std::to_string(getpid())
                        : options.name;
  links.self.session = proto::session_id{entropy() | 1};
  links.self.host = host_name();
  links.self.max_payload = proto::limits::payload_bytes;
  links.heartbeat = options.heartbeat;
  links.accepts = std::move(accepts);
  return links;
}

void carry_out(proto::outbox& out, transport& net, const node_options& options) {
  for (auto& s : out.sends) net.send(s.to, s.what);
  out.sends.clear();
  for (const auto peer : out.forgets) net.forget(peer);
  out.forgets.clear();
  if (options.on_notice)
    for (const auto& n : out.notices)
      options.on_notice(n.level == proto::severity::warning, n.text);
  out.notices.clear();
}

std::string patience::text() const {
  const auto seconds = std::chrono::duration<double>(limit_).count();
  std::string number = std::to_string(seconds);
  number.erase(number.find_last_not_of('0') + 1);
  if (number.back() == '.') number.pop_back();
  return number + " s";
}

}  // namespace weir::net
