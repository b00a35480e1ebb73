#include "exec/command_method.hpp"

#include "exec/call.hpp"
#include "exec/command.hpp"
#include "exec/command_form.hpp"
#include "exec/process_runner.hpp"
#include "io/json.hpp"
#include "proto/utf8.hpp"

#include <weir/error.hpp>
#include <weir/rpc_error.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <mutex>
#include <system_error>

namespace weir::exec {
namespace {

/// The end of standard error that goes into an error's message, which has 1 KiB.
constexpr std::size_t message_bytes = 900;

/// What a process's exit says (sysexits.h), as weir/method.hpp lists it.
status code_of_exit(int exit_code) {
  switch (exit_code) {
    case 64:
    case 65:
      return status::invalid_argument;
    case 66:
    case 68:
      return status::not_found;
    case 69:
    case 75:
      return status::unavailable;
    case 70:
      return status::internal;
    case 77:
    case 126:
      return status::permission_denied;
    case 127:
      return status::unimplemented;
    default:
      return status::unknown;
  }
}

std::string_view trimmed(std::string_view text) {
  const auto blank = " \t\r\n";
  const auto last = text.find_last_not_of(blank);
  if (last == std::string_view::npos) return {};
  text = text.substr(0, last + 1);
  return text.substr(std::min(text.find_first_not_of(blank), text.size()));
}

/// The last lines, as many as fit.
std::string_view last_lines(std::string_view text) {
  text = trimmed(text);
  if (text.size() <= message_bytes) return text;
  text = text.substr(text.size() - message_bytes);
  const auto line = text.find('\n');
  return line == std::string_view::npos ? text : text.substr(line + 1);
}

/// The caller's metadata as environment variables.
std::vector<std::string> variables_of(const proto::call_options& options) {
  std::vector<std::string> all;
  if (options.metadata.empty()) return all;
  std::vector<std::pair<std::string, std::string>> packed;
  for (const auto& [key, value] : options.metadata) {
    packed.emplace_back(key, io::msgpack_text(value));
    if (value.find('\0') != std::string::npos) continue;
    if (key == "traceparent") all.push_back("TRACEPARENT=" + value);
    if (key == "tracestate") all.push_back("TRACESTATE=" + value);
  }
  all.push_back("WEIR_METADATA=" + io::json_from_msgpack(io::msgpack_map(packed)));
  return all;
}

/// What a slot keeps from call to call.
struct slot_state {
  explicit slot_state(std::shared_ptr<const prepared_command> command)
      : runner(std::move(command)), wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake)
      throw std::system_error(errno, std::generic_category(), "cannot create an eventfd");
  }
  process_runner runner;
  unique_fd wake;
};

class command_handler {
 public:
  command_handler(command_method what, command_form form, std::string usage, bool declared)
      : form_(std::move(form)),
        usage_(std::move(usage)),
        result_(what.result),
        declared_(declared),
        shell_(what.command.mode == command_mode::shell) {
    if (shell_) script_ = what.command.argv;
    if (shell_) what.command.argv = {"/bin/sh"};
    what.command.mode = command_mode::stdin_;
    command_ = std::make_shared<const prepared_command>(std::move(what.command));
  }

  void run(call_context& context, std::string_view packed, std::string& result) {
    call& c = call::of(context);
    std::vector<std::string> values;
    try {
      values = io::msgpack_elements(packed);
    } catch (const io::json_error& e) {
      throw rpc_error(status::invalid_argument, usage_ + ": " + e.what());
    }
    std::string input;
    auto arguments = shell_ ? script_arguments(values) : place(values, input);
    for (const auto& a : arguments)
      if (a.find('\0') != std::string::npos)
        throw rpc_error(status::invalid_argument,
                        usage_ + ": a command's argument cannot have a NUL byte in it");

    slot_state& slot = state_of(c.slot());
    slot.runner.set_arguments(std::move(arguments));
    slot.runner.set_variables(variables_of(c.options()));
    const auto left = c.deadline() - proto::clock::now();
    const std::uint64_t number = c.key().call;
    claim one({{},
               number,
               c.options().attempt,
               proto::pack::of(std::move(input)),
               std::max<proto::duration>(left, std::chrono::milliseconds(1))},
              slot.wake.get());
    c.when_cancelled([&one, number] { one.cancel({number, number}); });
    try {
      slot.runner.run(one);
    } catch (...) {
      c.deaf();
      throw;
    }
    c.deaf();
    if (one.signalled()) {
      std::uint64_t count = 0;
      [[maybe_unused]] const auto n = ::read(slot.wake.get(), &count, sizeof count);
    }
    const finished end = one.take();
    if (end.runs.empty()) throw rpc_error(status::internal, "the command was not run");
    answer(end.runs.front(), result);
  }

 private:
  /// Fills the placeholders; what has no place becomes the input.
  std::vector<std::string> place(const std::vector<std::string>& values, std::string& input) {
    std::vector<std::string> texts(form_.names.size());
    std::vector<std::string> rest;
    for (std::size_t i = 0; i < std::max(values.size(), texts.size()); ++i) {
      const bool placed = i < texts.size() && form_.placed[i];
      if (i >= values.size()) {
        if (placed || declared_)
          throw rpc_error(status::invalid_argument,
                          usage_ + ": argument " + form_.names[i] + " is missing");
      } else if (placed) {
        if (values[i] != "\xc0") texts[i] = io::plain_from_msgpack(values[i]);
      } else if (declared_ && i >= texts.size()) {
        throw rpc_error(status::invalid_argument, usage_ + ": there are too many arguments");
      } else {
        rest.push_back(values[i]);
      }
    }
    const bool any_place =
        std::find(form_.placed.begin(), form_.placed.end(), true) != form_.placed.end();
    if (rest.size() == 1 && io::is_plain(rest[0]))
      input = io::plain_from_msgpack(rest[0]);
    else if (!rest.empty() || !any_place)
      input = io::json_from_msgpack(io::msgpack_array(rest));
    std::vector<std::string> filled;
    for (const auto& a : form_.arguments) filled.push_back(a.fill(texts));
    return filled;
  }

  std::vector<std::string> script_arguments(const std::vector<std::string>& values) {
    std::vector<std::string> all{"-c", script_[0], "sh"};
    all.insert(all.end(), script_.begin() + 1, script_.end());
    for (const auto& v : values)
      all.push_back(v == "\xc0" ? std::string() : io::plain_from_msgpack(v));
    return all;
  }

  slot_state& state_of(unsigned slot) {
    const std::lock_guard held(mutex_);
    if (slots_.size() <= slot) slots_.resize(slot + 1);
    if (!slots_[slot]) slots_[slot] = std::make_unique<slot_state>(command_);
    return *slots_[slot];
  }

  void answer(const proto::result_run& end, std::string& result) {
    const std::string_view output = end.payloads[0];
    if (end.code == status::ok) return convert(output, result);
    outcome_details details = end.details.empty() ? outcome_details{} : end.details[0];
    status code = end.code;
    std::string message = details.message;
    rpc_error::more more;
    constexpr std::string_view killed = "killed by ";
    if (details.message.starts_with(killed)) more.type = details.message.substr(killed.size());
    // Of its own making, or as a shell would have said that it could not be started.
    if (details.exit_code > 0 && (code == status::unknown || code == status::not_found ||
                                  code == status::permission_denied)) {
      more.type = "exit " + std::to_string(details.exit_code);
      code = code_of_exit(details.exit_code);
    }
    if (const auto said = last_lines(details.stderr_tail); !said.empty()) {
      // Why we ended it goes before what it said at the end.
      const bool ended_itself = code != status::cancelled &&
                                code != status::deadline_exceeded &&
                                code != status::resource_exhausted;
      message = ended_itself ? std::string(said) : message + ": " + std::string(said);
    }
    throw rpc_error(code, message, std::move(more));
  }

  void convert(std::string_view output, std::string& result) {
    switch (result_) {
      case command_result::bytes:
        result += io::msgpack_bytes(output);
        return;
      case command_result::text:
        if (output.ends_with('\n')) output.remove_suffix(1);
        if (proto::valid_utf8_prefix(output) != output.size())
          throw rpc_error(status::data_loss,
                          "the command's output is not UTF-8 text: offer it as bytes");
        result += io::msgpack_text(output);
        return;
      case command_result::json:
        try {
          result += io::msgpack_from_json(output);
        } catch (const io::json_error& e) {
          throw rpc_error(status::data_loss,
                          std::string("the command's output is not JSON: ") + e.what());
        }
        return;
    }
  }

  std::shared_ptr<const prepared_command> command_;
  const command_form form_;
  const std::string usage_;
  const command_result result_;
  const bool declared_;  // there are these arguments and no others
  const bool shell_;
  std::vector<std::string> script_;
  std::mutex mutex_;  // over the rest
  std::vector<std::unique_ptr<slot_state>> slots_;
};

}  // namespace

std::pair<method_description, raw_method> method_of(std::string name, command_method command,
                                                    method_options options) {
  const auto mode = command.command.mode;
  if (mode != command_mode::process && mode != command_mode::stdin_ &&
      mode != command_mode::shell)
    throw error(exit_code::usage, "method '" + name + "': a coprocess cannot answer calls");
  auto checked = command.command;
  if (mode == command_mode::process) checked.mode = command_mode::stdin_;  // {} means nothing
  check(checked);
  auto& argv = command.command.argv;
  command.command.env.insert(command.command.env.begin(), "WEIR_METHOD=" + name);

  const bool declared = !options.arguments.empty();
  command_form form;
  if (mode != command_mode::shell) {
    try {
      form = command_form::of({argv.begin() + 1, argv.end()}, options.arguments);
    } catch (const error& e) {
      throw error(exit_code::usage, "method '" + name + "': " + e.what());
    }
  } else {
    form.names = options.arguments;
    form.placed.assign(form.names.size(), true);
  }

  method_description what;
  what.name = std::move(name);
  if (!form.names.empty()) {
    what.arguments.emplace();
    for (std::size_t i = 0; i < form.names.size(); ++i)
      what.arguments->push_back({form.names[i], form.placed[i] ? "str" : "any", false});
    // What has no place is the input, if there is any.
    if (!declared) what.arguments->push_back({"stdin", "any", true});
  }
  switch (command.result) {
    case command_result::text:
      what.result = "str";
      break;
    case command_result::json:
      what.result = "any";
      break;
    case command_result::bytes:
      what.result = "bytes";
      break;
  }
  what.options = std::move(options);
  what.signature = signature_text(what);
  what.may_be_short = false;  // a process is not, and needs a thread that starts processes
  auto handler = std::make_shared<command_handler>(std::move(command), std::move(form),
                                                   what.name + what.signature, declared);
  return {std::move(what), [handler](call_context& c, std::string_view in, std::string& out) {
            handler->run(c, in, out);
          }};
}

}  // namespace weir::exec
