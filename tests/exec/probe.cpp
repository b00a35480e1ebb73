// A command for tests: shows what a process was given, byte by byte.
//
//     exec_probe args ARG...      each argument as "<length>:<bytes>,"
//     exec_probe fds              open descriptors, space-separated
//     exec_probe signals          "ignored blocked", two masks in hexadecimal
//     exec_probe spew N           N bytes of 'x' on standard output
//     exec_probe frames [N]       4-byte lengths: answers each payload reversed, N of them
#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

void show_fds() {
  DIR* own = ::opendir("/proc/self/fd");
  std::string list;
  while (const dirent* entry = ::readdir(own)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != ::dirfd(own)) list += std::string(entry->d_name) + " ";
  }
  ::closedir(own);
  std::fputs(list.c_str(), stdout);
}

void show_signals() {
  std::FILE* status = std::fopen("/proc/self/status", "r");
  char line[256];
  std::string ignored, blocked;
  while (std::fgets(line, sizeof line, status)) {
    if (std::strncmp(line, "SigIgn:\t", 8) == 0) ignored = std::string(line + 8, 16);
    if (std::strncmp(line, "SigBlk:\t", 8) == 0) blocked = std::string(line + 8, 16);
  }
  std::fclose(status);
  std::printf("%s %s", ignored.c_str(), blocked.c_str());
}

void spew(std::size_t bytes) {
  const std::string block(64 * 1024, 'x');
  while (bytes > 0) {
    const auto n = std::min(bytes, block.size());
    std::fwrite(block.data(), 1, n, stdout);
    bytes -= n;
  }
}

void answer_frames(long count) {
  unsigned char length[4];
  for (; count != 0 && std::fread(length, 1, 4, stdin) == 4; --count) {
    const std::uint32_t n = std::uint32_t{length[0]} << 24 | std::uint32_t{length[1]} << 16 |
                            std::uint32_t{length[2]} << 8 | length[3];
    std::string bytes(n, '\0');
    if (std::fread(bytes.data(), 1, n, stdin) != n) return;
    std::reverse(bytes.begin(), bytes.end());
    std::fwrite(length, 1, 4, stdout);
    std::fwrite(bytes.data(), 1, n, stdout);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "args")
    for (int i = 2; i < argc; ++i) std::printf("%zu:%s,", std::strlen(argv[i]), argv[i]);
  else if (verb == "fds")
    show_fds();
  else if (verb == "signals")
    show_signals();
  else if (verb == "spew")
    spew(std::strtoull(argv[2], nullptr, 10));
  else if (verb == "frames")
    answer_frames(argc > 2 ? std::atol(argv[2]) : -1);
  else
    return 64;
  return std::fflush(stdout) == 0 ? 0 : 1;
}
