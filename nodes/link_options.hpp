// Options that every node has for how it is reached.
#pragma once

#include "node_main.hpp"

#include <weir/endpoint.hpp>
#include <weir/node.hpp>

namespace weir::nodes {

/// Declares --insecure, --connect-timeout and --heartbeat.
void add_link_options(CLI::App& app, node_options& target);

/// Declares --reply-cache and --reply-cache-time, of whoever is called.
void add_reply_cache(CLI::App& app, std::size_t& bytes, std::chrono::milliseconds& ttl,
                     const char* group);

/// Notices of the library become messages: warnings always, the rest with -v.
void forward_notices(node_options& node, console& say);

/// What was bound by default gives way to what --connect says: with only --connect given, the
/// node does not bind.
void prefer_connect(const CLI::App& app, node_options& node, const char* connect_option,
                    const char* bind_option);

}  // namespace weir::nodes
