#include "proto/rpc/builtins.hpp"

#include "proto/limits.hpp"
#include "proto/msgpack_reader.hpp"
#include "proto/wire_writer.hpp"

#include <weir/version.hpp>

#include <array>
#include <utility>

namespace weir::proto::builtins {
namespace {

double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

class writer : public wire_writer {
 public:
  writer() : wire_writer(1024) {}
  using wire_writer::array;
  using wire_writer::binary;
  using wire_writer::entry;
  using wire_writer::text;
  void map(std::uint32_t entries) { out_.pack_map(entries); }
  void key(std::string_view name) { str(name); }
  void entry(std::string_view name, bool value) {
    str(name);
    if (value)
      out_.pack_true();
    else
      out_.pack_false();
  }
  void identity(const introduction& self, duration uptime) {
    entry("name", std::string_view(self.name));
    entry("role", to_string(self.role));
    entry("host", std::string_view(self.host));
    entry("uptime", seconds(uptime));
  }
  void boolean(bool value) {
    if (value)
      out_.pack_true();
    else
      out_.pack_false();
  }
  void nil() { out_.pack_nil(); }
  void latency(std::string_view name, const histogram& h) {
    key(name);
    map(5);
    entry("count", h.count());
    entry("mean", h.mean());
    entry("p50", h.percentile(0.5));
    entry("p99", h.percentile(0.99));
    entry("p999", h.percentile(0.999));
  }
};

void write_service(writer& out, const service& s) {
  const method_info& m = *s.info;
  out.map(14);
  out.entry("name", std::string_view(m.name));
  out.key("doc");
  out.text(m.doc, limits::stderr_bytes);
  out.entry("sig", std::string_view(m.signature));
  out.key("args");
  if (m.arguments_known) {
    out.array(m.arguments.size());
    for (const auto& argument : m.arguments) {
      out.array(3);
      out.text(argument.name);
      out.text(argument.type);
      out.boolean(argument.optional);
    }
  } else {
    out.nil();
  }
  out.entry("ret", std::string_view(m.result));
  out.entry("stream", m.streams);
  out.entry("idem", m.idempotent);
  out.entry("par", std::uint64_t{m.concurrency});
  out.entry("ttl", std::uint64_t{m.deadline_ms});
  out.entry("cache", std::uint64_t{m.cache_ms});
  out.entry("workers", s.workers);
  out.entry("queued", s.queued);
  out.entry("running", s.running);
  out.entry("room", s.room);
}

void write_measured(writer& out, const measured& m, time_point now) {
  const method_stats& s = *m.stats;
  const double rate = s.answered.per_second(now);
  out.map(13);
  out.entry("name", m.name);
  out.entry("calls", s.calls);
  out.entry("errors", s.errors);
  out.entry("expired", s.expired);
  out.entry("rejected", s.rejected);
  out.entry("retried", s.retried);
  out.entry("cached", s.cached);
  out.entry("direct", s.direct);
  out.entry("queued", m.queued);
  out.entry("running", m.running);
  out.entry("rate", rate);
  // Little's law; 0 if nothing has been answered that would tell.
  out.entry("predicted_queue_us", rate == 0 ? 0.0 : static_cast<double>(m.queued) / rate * 1e6);
  out.key("latency");
  out.map(5);
  out.latency("request", s.latency.request);
  out.latency("queue", s.latency.queue);
  out.latency("service", s.latency.service);
  out.latency("response", s.latency.response);
  out.latency("total", s.latency.total);
}

}  // namespace

std::string ping(const introduction& self, duration uptime) {
  writer out;
  out.map(5);
  out.identity(self, uptime);
  out.entry("version", std::string_view(WEIR_VERSION));
  return out.take();
}

std::string services(std::span<const service> all) {
  writer out;
  out.array(all.size());
  for (const service& s : all) write_service(out, s);
  return out.take();
}

std::string stats(const introduction& self, duration uptime, std::uint64_t workers,
                  std::uint64_t clients, std::span<const measured> methods, time_point now) {
  writer out;
  out.map(7);
  out.identity(self, uptime);
  out.entry("workers", workers);
  out.entry("clients", clients);
  out.key("methods");
  out.array(methods.size());
  for (const measured& m : methods) write_measured(out, m, now);
  return out.take();
}

std::string routes(std::span<const route> workers) {
  writer out;
  out.array(workers.size());
  for (const route& r : workers) {
    out.map(6);
    out.key("ep");
    out.array(r.endpoints.size());
    for (const std::string& endpoint : r.endpoints) out.text(endpoint);
    out.entry("name", std::string_view(r.name));
    out.entry("load", r.load);
    std::array<char, 8> session{};
    store_big_endian(static_cast<std::uint64_t>(r.session), session.data());
    out.binary("session", {session.data(), session.size()});
    out.entry("idem", r.idempotent);
    out.entry("ttl", std::uint64_t{r.deadline_ms});
  }
  return out.take();
}

std::string names(std::span<const std::string> all) {
  writer out;
  out.array(all.size());
  for (const std::string& name : all) out.text(name);
  return out.take();
}

text_argument one_text(std::string_view arguments) {
  msgpack_reader in(arguments);
  text_argument found;
  const std::uint32_t count = in.array();
  if (count > 1) return found;
  if (count == 1 && !in.nil()) found.text = std::string(in.str(limits::text_bytes));
  found.valid = in.ok() && in.at_end();
  return found;
}

}  // namespace weir::proto::builtins
