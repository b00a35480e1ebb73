#include "arguments.hpp"

#include "io/json.hpp"
#include "io/value_type.hpp"
#include "progress.hpp"

#include <weir/error.hpp>
#include <weir/method.hpp>

#include <algorithm>

namespace weir::cli {
namespace {

[[noreturn]] void refuse(const described_method* method, const std::string& why) {
  std::string text = why;
  if (method != nullptr && !method->signature.empty())
    text += " (" + method->name + method->signature + ")";
  throw error(exit_code::usage, text);
}

/// Puts words where they belong, by position and by name.
class places {
 public:
  explicit places(const described_method& method)
      : method_(method), values_(method.arguments->size()) {}

  void put(const std::string& word) {
    const auto& arguments = *method_.arguments;
    const auto equals = word.find('=');
    const auto named = std::find_if(arguments.begin(), arguments.end(), [&](const auto& a) {
      return equals != std::string::npos && a.name == std::string_view(word).substr(0, equals);
    });
    if (named != arguments.end())
      return set(static_cast<std::size_t>(named - arguments.begin()), word.substr(equals + 1));
    while (next_ < values_.size() && values_[next_]) ++next_;
    if (next_ == values_.size())
      refuse(&method_, "'" + word + "' is one argument too many: " + method_.name + " takes " +
                           nodes::plural(values_.size(), "argument"));
    set(next_, word);
  }

  [[nodiscard]] std::string packed(reading how) {
    const auto& arguments = *method_.arguments;
    std::size_t given = values_.size();
    while (given > 0 && !values_[given - 1] && arguments[given - 1].optional) --given;
    std::vector<std::string> elements;
    for (std::size_t i = 0; i < given; ++i) {
      if (values_[i])
        elements.push_back(value(arguments[i], *values_[i], how));
      else if (arguments[i].optional)
        elements.push_back(io::msgpack_from_json("null"));
      else
        refuse(&method_, "the argument '" + arguments[i].name + "' is missing");
    }
    return io::msgpack_array(elements);
  }

 private:
  void set(std::size_t i, std::string word) {
    if (values_[i])
      refuse(&method_, "the argument '" + (*method_.arguments)[i].name + "' is given twice");
    values_[i] = std::move(word);
  }
  std::string value(const described_method::argument& argument, const std::string& word,
                    reading how) {
    if (how == reading::text) return io::msgpack_text(word);
    try {
      return io::value_type::parse(argument.type).from_word(word);
    } catch (const io::json_error& e) {
      refuse(&method_, "argument '" + argument.name + "': " + e.what());
    }
  }

  const described_method& method_;
  std::vector<std::optional<std::string>> values_;
  std::size_t next_ = 0;
};

void check_line(const std::string& packed, const described_method& method) {
  const auto values = io::msgpack_elements(packed);
  const auto& arguments = *method.arguments;
  if (values.size() > arguments.size())
    refuse(&method, nodes::plural(values.size(), "argument") + " where " + method.name +
                        " takes " + std::to_string(arguments.size()));
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (i >= values.size()) {
      if (!arguments[i].optional)
        refuse(&method, "the argument '" + arguments[i].name + "' is missing");
    } else if (!io::value_type::parse(arguments[i].type).accepts(values[i])) {
      refuse(&method, "argument '" + arguments[i].name + "': " +
                          io::json_from_msgpack(values[i]) + " is not " + arguments[i].type);
    }
  }
}

}  // namespace

std::string pack_arguments(const std::vector<std::string>& words,
                           const described_method* method, reading how) {
  if (method != nullptr && method->arguments) {
    places all(*method);
    for (const auto& word : words) all.put(word);
    return all.packed(how);
  }
  std::vector<std::string> elements;
  const auto any = io::value_type::parse("any");
  for (const auto& word : words)
    elements.push_back(how == reading::text ? io::msgpack_text(word) : any.from_word(word));
  return io::msgpack_array(elements);
}

std::string pack_line(std::string_view line, const described_method* method, reading how) {
  const auto start = line.find_first_not_of(" \t");
  if (start == std::string_view::npos || line[start] != '[')
    return pack_arguments(split_command(line), method, how);
  std::string packed;
  try {
    packed = io::msgpack_from_json(line);
  } catch (const io::json_error& e) {
    refuse(method, e.what());
  }
  if (method != nullptr && method->arguments) check_line(packed, *method);
  return packed;
}

}  // namespace weir::cli
