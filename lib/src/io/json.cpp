#include "io/json.hpp"

#include <msgpack.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

namespace weir::io {
namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t most_depth = 100;
constexpr std::string_view base64_key = "$base64";
constexpr std::string_view ext_key = "$ext";
constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string to_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < count ? static_cast<std::uint8_t>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      text += k <= count ? alphabet[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::string from_base64(std::string_view text) {
  std::string bytes;
  std::uint32_t group = 0;
  int bits = 0;
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  for (const char c : text) {
    const auto value = alphabet.find(c);
    if (value == std::string_view::npos)
      throw json_error(std::string("not base64: '") + c + "' in \"$base64\"");
    group = group << 6 | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(group >> bits & 255);
  }
  return bytes;
}

msgpack::object_handle unpack(std::string_view packed) {
  // An array or map of n elements takes at least n bytes: its claim costs no more than it
  // holds.
  const msgpack::unpack_limit limit(packed.size(), packed.size(), packed.size(), packed.size(),
                                    packed.size(), most_depth);
  std::size_t offset = 0;
  try {
    auto value = msgpack::unpack(packed.data(), packed.size(), offset, nullptr, nullptr, limit);
    if (offset != packed.size())
      throw json_error("there are bytes after the MessagePack value");
    return value;
  } catch (const msgpack::unpack_error& e) {
    throw json_error(std::string("not a MessagePack value: ") + e.what());
  }
}

json tree_of(const msgpack::object& value);

std::string dumped(const json& tree, json_layout layout) {
  return tree.dump(layout == json_layout::indented ? 2 : -1, ' ', false,
                   json::error_handler_t::replace);
}

std::string key_of(const msgpack::object& key) {
  if (key.type == msgpack::type::STR) return {key.via.str.ptr, key.via.str.size};
  return dumped(tree_of(key), json_layout::compact);
}

json map_of(const msgpack::object_map& map) {
  json tree = json::object();
  for (std::uint32_t i = 0; i < map.size; ++i)
    tree[key_of(map.ptr[i].key)] = tree_of(map.ptr[i].val);
  return tree;
}

json tree_of(const msgpack::object& value) {
  switch (value.type) {
    case msgpack::type::NIL:
      return nullptr;
    case msgpack::type::BOOLEAN:
      return value.via.boolean;
    case msgpack::type::POSITIVE_INTEGER:
      return value.via.u64;
    case msgpack::type::NEGATIVE_INTEGER:
      return value.via.i64;
    case msgpack::type::FLOAT32:
    case msgpack::type::FLOAT64:
      if (!std::isfinite(value.via.f64)) return nullptr;
      return value.via.f64;
    case msgpack::type::STR:
      return std::string(value.via.str.ptr, value.via.str.size);
    case msgpack::type::BIN:
      return {{base64_key, to_base64({value.via.bin.ptr, value.via.bin.size})}};
    case msgpack::type::ARRAY: {
      json tree = json::array();
      for (std::uint32_t i = 0; i < value.via.array.size; ++i)
        tree.push_back(tree_of(value.via.array.ptr[i]));
      return tree;
    }
    case msgpack::type::MAP:
      return map_of(value.via.map);
    case msgpack::type::EXT:
      return {{ext_key, value.via.ext.type()},
              {base64_key, to_base64({value.via.ext.data(), value.via.ext.size})}};
  }
  return nullptr;
}

using json_packer = msgpack::packer<msgpack::sbuffer>;

std::uint32_t size32(std::size_t size) {
  if (size > std::numeric_limits<std::uint32_t>::max())
    throw json_error("longer than MessagePack can carry");
  return static_cast<std::uint32_t>(size);
}

void pack_text(json_packer& out, std::string_view text) {
  out.pack_str(size32(text.size()));
  out.pack_str_body(text.data(), size32(text.size()));
}

void pack_bytes(json_packer& out, std::string_view bytes) {
  out.pack_bin(size32(bytes.size()));
  out.pack_bin_body(bytes.data(), size32(bytes.size()));
}

void pack(json_packer& out, const json& tree, std::size_t depth) {
  if (depth > most_depth)
    throw json_error("nested deeper than " + std::to_string(most_depth) + " levels");
  switch (tree.type()) {
    case json::value_t::boolean:
      out.pack(tree.get<bool>());
      return;
    case json::value_t::number_integer:
      out.pack_int64(tree.get<std::int64_t>());
      return;
    case json::value_t::number_unsigned:
      out.pack_uint64(tree.get<std::uint64_t>());
      return;
    case json::value_t::number_float:
      out.pack_double(tree.get<double>());
      return;
    case json::value_t::string:
      return pack_text(out, tree.get_ref<const std::string&>());
    case json::value_t::array:
      out.pack_array(size32(tree.size()));
      for (const auto& element : tree) pack(out, element, depth + 1);
      return;
    case json::value_t::object: {
      const auto encoded = tree.find(std::string(base64_key));
      if (tree.size() == 1 && encoded != tree.end() && encoded->is_string())
        return pack_bytes(out, from_base64(encoded->get_ref<const std::string&>()));
      out.pack_map(size32(tree.size()));
      for (const auto& [name, value] : tree.items()) {
        pack_text(out, name);
        pack(out, value, depth + 1);
      }
      return;
    }
    case json::value_t::null:
    case json::value_t::binary:
    case json::value_t::discarded:
      out.pack_nil();
      return;
  }
}

/// The parser itself takes any depth; what it makes is freed without recursion.
json parsed(std::string_view text) {
  try {
    return json::parse(text);
  } catch (const json::parse_error& e) {
    std::string why = e.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    if (const auto end = why.find("] "); end != std::string::npos) why.erase(0, end + 2);
    throw json_error("not JSON: " + why);
  }
}

std::string text_of(const msgpack::sbuffer& buffer) { return {buffer.data(), buffer.size()}; }

template <class Fill>
std::string packed(Fill fill) {
  msgpack::sbuffer buffer;
  json_packer out(buffer);
  fill(out);
  return text_of(buffer);
}

}  // namespace

std::string json_from_msgpack(std::string_view value, json_layout layout) {
  const auto handle = unpack(value);
  return dumped(tree_of(handle.get()), layout);
}

std::string msgpack_from_json(std::string_view text) {
  return packed([tree = parsed(text)](json_packer& out) { pack(out, tree, 0); });
}

std::string msgpack_text(std::string_view text) {
  return packed([&](json_packer& out) { pack_text(out, text); });
}

std::string msgpack_bytes(std::string_view bytes) {
  return packed([&](json_packer& out) { pack_bytes(out, bytes); });
}

std::string msgpack_array(const std::vector<std::string>& values) {
  std::string all = packed([&](json_packer& out) { out.pack_array(size32(values.size())); });
  for (const auto& value : values) all += value;
  return all;
}

std::string msgpack_map(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string all = packed([&](json_packer& out) { out.pack_map(size32(entries.size())); });
  for (const auto& [key, value] : entries) all += msgpack_text(key) + value;
  return all;
}

std::vector<std::string> msgpack_elements(std::string_view value) {
  const auto handle = unpack(value);
  if (handle->type != msgpack::type::ARRAY) throw json_error("not an array");
  std::vector<std::string> elements;
  elements.reserve(handle->via.array.size);
  for (std::uint32_t i = 0; i < handle->via.array.size; ++i)
    elements.push_back(packed([&](json_packer& out) { out.pack(handle->via.array.ptr[i]); }));
  return elements;
}

std::map<std::string, std::string> msgpack_entries(std::string_view value) {
  const auto handle = unpack(value);
  if (handle->type != msgpack::type::MAP) throw json_error("not a map");
  const auto& map = handle->via.map;
  std::map<std::string, std::string> entries;
  for (std::uint32_t i = 0; i < map.size; ++i)
    entries[key_of(map.ptr[i].key)] =
        packed([&](json_packer& out) { out.pack(map.ptr[i].val); });
  return entries;
}

std::optional<double> msgpack_number(std::string_view value) {
  const auto handle = unpack(value);
  switch (handle->type) {
    case msgpack::type::POSITIVE_INTEGER:
      return static_cast<double>(handle->via.u64);
    case msgpack::type::NEGATIVE_INTEGER:
      return static_cast<double>(handle->via.i64);
    case msgpack::type::FLOAT32:
    case msgpack::type::FLOAT64:
      return handle->via.f64;
    case msgpack::type::BOOLEAN:
      return handle->via.boolean ? 1 : 0;
    default:
      return std::nullopt;
  }
}

std::string plain_from_msgpack(std::string_view value) {
  const auto handle = unpack(value);
  if (handle->type == msgpack::type::STR) return {handle->via.str.ptr, handle->via.str.size};
  if (handle->type == msgpack::type::BIN) return {handle->via.bin.ptr, handle->via.bin.size};
  return dumped(tree_of(handle.get()), json_layout::compact);
}

bool is_plain(std::string_view value) {
  const auto handle = unpack(value);
  return handle->type == msgpack::type::STR || handle->type == msgpack::type::BIN;
}

}  // namespace weir::io
