#include "link_options.hpp"

namespace weir::nodes {

void add_link_options(CLI::App& app, node_options& target) {
  app.add_flag("--insecure", target.insecure,
               "Allow addresses that other machines can reach: nothing is authenticated or "
               "encrypted yet")
      ->group("Links");
  add_duration(app, "--connect-timeout", target.connect_timeout,
               "Give up (exit 69) after being without a peer for this long; 0 waits for ever")
      ->group("Links");
  add_duration(
      app, "--heartbeat", target.heartbeat,
      "How often a silent node shows that it lives; five times this without a word and "
      "it is taken for dead")
      ->group("Links");
}

void add_reply_cache(CLI::App& app, std::size_t& bytes, std::chrono::milliseconds& ttl,
                     const char* group) {
  add_size(app, "--reply-cache", bytes,
           "Remember this much of replies to calls with an idempotency key; a reply that is "
           "larger by itself is not remembered")
      ->group(group);
  add_duration(app, "--reply-cache-time", ttl, "And for how long")->group(group);
}

void forward_notices(node_options& node, console& say) {
  node.on_notice = [&say](bool warning, const std::string& text) {
    say.message(warning ? level::notice : level::detail, text);
  };
}

void prefer_connect(const CLI::App& app, node_options& node, const char* connect_option,
                    const char* bind_option) {
  if (app.count(connect_option) > 0 && app.count(bind_option) == 0) node.bind.clear();
}

}  // namespace weir::nodes
