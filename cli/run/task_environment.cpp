#include "task_environment.hpp"

#include "exec/reaper.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

extern char** environ;

namespace weir::cli::run {
namespace {

enum variable : std::size_t { task, seq, parallel_seq, slot_number, jobslot, attempts, pid };
constexpr std::array<std::string_view, 7> names{
    "WEIR_TASK_ID=",     "WEIR_SEQ=",     "PARALLEL_SEQ=", "WEIR_SLOT=",
    "PARALLEL_JOBSLOT=", "WEIR_ATTEMPT=", "PARALLEL_PID="};

char* mutable_c_str(const std::string& text) {
  return const_cast<char*>(text.c_str());  // execve() promises not to change it
}

}  // namespace

task_environment::task_environment() : own_(names.begin(), names.end()) {
  const auto& mark = exec::reaper_mark();
  const std::string_view mark_name = std::string_view(mark).substr(0, mark.find('=') + 1);
  for (char** v = environ; v && *v; ++v) {
    const std::string_view variable(*v);
    const auto is_ours = [&](std::string_view name) { return variable.starts_with(name); };
    if (std::any_of(names.begin(), names.end(), is_ours)) continue;
    if (!mark.empty() && variable.starts_with(mark_name)) continue;
    inherited_.emplace_back(variable);
  }
  if (!mark.empty()) inherited_.push_back(mark);
  own_[pid] += std::to_string(::getpid());
  for (const auto& v : inherited_) envp_.push_back(mutable_c_str(v));
  envp_.resize(inherited_.size() + own_.size() + 1, nullptr);
}

char* const* task_environment::fill(const task_id& id, std::uint64_t number, unsigned slot,
                                    std::uint32_t attempt) {
  const auto set = [&](variable which, const std::string& value) {
    own_[which].resize(names[which].size());
    own_[which] += value;
  };
  set(task, to_string(id.source) + "-" + std::to_string(id.seq));
  const auto number_text = std::to_string(number);
  set(seq, number_text);
  set(parallel_seq, number_text);
  const auto slot_text = std::to_string(slot);
  set(slot_number, slot_text);
  set(jobslot, slot_text);
  set(attempts, std::to_string(attempt));
  for (std::size_t i = 0; i < own_.size(); ++i)
    envp_[inherited_.size() + i] = mutable_c_str(own_[i]);
  return envp_.data();
}

}  // namespace weir::cli::run
