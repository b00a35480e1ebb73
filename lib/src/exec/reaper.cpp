#include "exec/reaper.hpp"

#include <weir/command.hpp>
#include <weir/error.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>

namespace weir {
namespace exec {
namespace {

constexpr const char* variable = "WEIR_REAPER_TOKEN";
/// Slots that the reaper knows the children of; for those beyond, it has the mark alone.
constexpr std::size_t places = 4096;

struct shared_table {
  std::array<pid_t, places> pids;
};

struct started_reaper {
  shared_table* table = nullptr;
  std::string mark;
  std::mutex mutex;  // over the choice of a place
  std::array<bool, places> taken{};
};
started_reaper& the_reaper() {
  static started_reaper it;
  return it;
}

std::string random_token() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw error(exit_code::software, "no random bytes from the system for the reaper's token");
  static constexpr char digits[] = "0123456789abcdef";
  std::string token;
  for (const auto byte : bytes) {
    token += digits[byte >> 4];
    token += digits[byte & 15];
  }
  return token;
}

// ---- In the reaper's process

bool carries(const char* pid, std::string_view token) {
  const std::string path = std::string("/proc/") + pid + "/environ";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  std::string seen;
  std::array<char, 16384> part;
  bool found = false;
  for (ssize_t n = 0; !found && (n = ::read(fd, part.data(), part.size())) > 0;) {
    seen.append(part.data(), static_cast<std::size_t>(n));
    found = seen.find(token) != std::string::npos;
    // The token may straddle two reads.
    if (seen.size() > token.size()) seen.erase(0, seen.size() - token.size());
  }
  ::close(fd);
  return found;
}

/// Kills whatever carries the token; says how many there were.
int sweep(std::string_view token) {
  DIR* proc = ::opendir("/proc");
  if (!proc) return 0;
  int killed = 0;
  while (const dirent* entry = ::readdir(proc)) {
    const pid_t pid = std::atoi(entry->d_name);
    if (pid <= 1 || pid == ::getpid() || !carries(entry->d_name, token)) continue;
    if (::kill(pid, SIGKILL) == 0) ++killed;
  }
  ::closedir(proc);
  return killed;
}

[[noreturn]] void reap_after(int parent_gone, const shared_table& table,
                             const std::string& token) {
  // What is meant for the worker, its session or its terminal is not meant for us.
  ::setsid();
  for (const int ignored :
       {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGUSR1, SIGUSR2})
    ::signal(ignored, SIG_IGN);
  ::prctl(PR_SET_NAME, "weir-reaper");
  // Keep nothing of the worker's alive: neither its pipes nor its directory.
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  ::dup2(parent_gone, 3);
  ::syscall(SYS_close_range, 4U, ~0U, 0U);
  [[maybe_unused]] const int moved = ::chdir("/");

  char byte = 0;
  while (::read(3, &byte, 1) < 0 && errno == EINTR) {
  }
  for (const pid_t& place : table.pids) {
    const pid_t pid = __atomic_load_n(&place, __ATOMIC_ACQUIRE);
    if (pid <= 1) continue;
    ::kill(-pid, SIGKILL);
    ::kill(pid, SIGKILL);  // it may not have got as far as to lead a group
  }
  // Until there is nothing left: a process may have forked while we looked elsewhere. The bound
  // is for what cannot be killed (a process stuck in the kernel).
  for (int sweeps = 0; sweeps < 1000 && sweep(token) > 0; ++sweeps) ::usleep(10'000);
  ::_exit(0);
}

}  // namespace

const std::string& reaper_mark() { return the_reaper().mark; }

reaper_entry::reaper_entry() {
  started_reaper& reaper = the_reaper();
  if (!reaper.table) return;
  const std::lock_guard held(reaper.mutex);
  for (std::size_t i = 0; i < places; ++i) {
    if (reaper.taken[i]) continue;
    reaper.taken[i] = true;
    place_ = &reaper.table->pids[i];
    return;
  }
}

reaper_entry::~reaper_entry() {
  if (place_ == &private_) return;
  clear();
  started_reaper& reaper = the_reaper();
  const std::lock_guard held(reaper.mutex);
  reaper.taken[static_cast<std::size_t>(place_ - reaper.table->pids.data())] = false;
}

}  // namespace exec

void start_reaper() {
  exec::started_reaper& reaper = exec::the_reaper();
  if (reaper.table) return;
  const auto failed = [](const char* what) {
    const int why = errno;
    throw error(exit_code::unavailable,
                std::string("cannot start the reaper: ") + what + ": " + std::strerror(why));
  };

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) failed("pipe");
  void* memory = ::mmap(nullptr, sizeof(exec::shared_table), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) failed("mmap");
  auto* table = static_cast<exec::shared_table*>(memory);
  const std::string token = exec::random_token();

  const pid_t between = ::fork();
  if (between < 0) failed("fork");
  if (between == 0) {
    // Twice, so that the reaper is nobody's child here and disturbs nobody's wait().
    const pid_t reaper_pid = ::fork();
    if (reaper_pid != 0) ::_exit(reaper_pid < 0 ? 1 : 0);
    ::close(ends[1]);
    exec::reap_after(ends[0], *table, token);
  }
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(between, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) {
    errno = EAGAIN;
    failed("fork");
  }
  // ends[1] stays open until this process ends: that is the signal.
  reaper.table = table;
  const char* outer = ::getenv(exec::variable);
  reaper.mark =
      std::string(exec::variable) + "=" + (outer ? std::string(outer) + ":" : "") + token;
}

}  // namespace weir
