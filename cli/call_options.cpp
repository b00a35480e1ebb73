#include "call_options.hpp"

#include "option_types.hpp"

#include <utility>

namespace weir::cli {

namespace {
constexpr char mark = '\x02';
}

marked_words::marked_words(int argc, const char* const* argv) {
  for (int i = 0; i < argc; ++i) {
    std::string word = argv[i];
    if (word.starts_with('[') || word.starts_with(mark)) word.insert(word.begin(), mark);
    words_.push_back(std::move(word));
  }
  for (const auto& word : words_) pointers_.push_back(word.c_str());
}

void add_call_words(CLI::App& app, call_words& target) {
  app.add_option("METHOD", target.method, "Its name, as weir services shows it")->required();
  app.add_option("ARGUMENT", target.words,
                 "By position, or NAME=VALUE. Each is read as the method's signature wants it: "
                 "text for str, bytes as they are for bytes, JSON for all other types. Where "
                 "the signature is not known: JSON if it is JSON, else text")
      ->transform([](const std::string& word) {
        return word.starts_with(mark) ? word.substr(1) : word;
      });
  app.add_flag_callback(
         "--text", [&target] { target.how = reading::text; }, "Send every argument as text")
      ->group("Call");
  app.add_flag_callback(
         "--no-check", [&target] { target.check = false; },
         "Do not ask for the signature first: one exchange less, and mistakes are found by the "
         "worker")
      ->group("Call");
}

void add_call_settings(CLI::App& app, call_settings& target) {
  nodes::add_duration(app, "--deadline", target.deadline,
                      "How long the call may take, retries included; 0: what the method "
                      "declares, or else 5 s")
      ->group("Call");
  app.add_option("--retries", target.retries,
                 "Attempts beyond the first, where that is safe: the method is idempotent, "
                 "there is a key, or nobody has started it")
      ->type_name("N")
      ->group("Call");
  nodes::add_duration(app, "--hedge", target.hedge_after,
                      "Without an answer after so long, ask another worker too (idempotent "
                      "methods, and no --key); 0: never")
      ->group("Call");
  app.add_flag("--idempotent", target.idempotent,
               "Running it twice does no harm, whatever the method says of itself")
      ->group("Call");
  app.add_option("--priority", target.priority, "0 to 9, 9 first")
      ->check(CLI::Range(0, 9))
      ->type_name("N")
      ->group("Call");
  app.add_option("--hash-key", target.hash_key, "Calls with the same key go to the same worker")
      ->type_name("KEY")
      ->group("Call");
  app.add_option("--key", target.idempotency_key,
                 "Idempotency key: calls with the same one are run once, and all get that "
                 "one's answer")
      ->type_name("KEY")
      ->group("Call");
  app.add_option_function<std::vector<std::string>>(
         "-H,--metadata",
         [&target](const std::vector<std::string>& entries) {
           for (const auto& entry : entries) {
             const auto equals = entry.find('=');
             if (equals == 0 || equals == std::string::npos)
               throw CLI::ValidationError("--metadata", "'" + entry + "' is not KEY=VALUE");
             target.metadata.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
           }
         },
         "For the handler, e.g. traceparent=00-...")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false)
      ->group("Call");
}

}  // namespace weir::cli
