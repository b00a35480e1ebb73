#include "interruption.hpp"

#include <weir/error.hpp>

#include <pthread.h>
#include <unistd.h>

#include <csignal>

namespace weir::cli {
namespace {

[[noreturn]] void end_by(int signal) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  std::signal(signal, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  std::raise(signal);
  ::_exit(static_cast<int>(exit_code::signalled) + signal);
}

}  // namespace

std::unique_ptr<nodes::watcher> interruption::watch(raw_client& client) {
  const auto cancel = [this, &client](int signal) {
    come_ = true;
    nodes::leave_soon(static_cast<int>(exit_code::signalled) + signal);
    client.close();
    end_by(signal);
  };
  return std::make_unique<nodes::watcher>(ends_, cancel, [] {});
}

}  // namespace weir::cli
