// Files, pipes and runs for the tests of weir_io.
#pragma once

#include "proto/message.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::io_test {

/// A directory that is removed with all that is in it.
class temp_dir {
 public:
  temp_dir() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-io-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~temp_dir() { std::filesystem::remove_all(path_); }
  temp_dir(const temp_dir&) = delete;
  temp_dir& operator=(const temp_dir&) = delete;

  [[nodiscard]] std::string path(std::string_view name = {}) const {
    return (path_ / name).string();
  }
  [[nodiscard]] std::string file(std::string_view name, std::string_view content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }

 private:
  std::filesystem::path path_;
};

inline std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A pipe whose ends close with it, or before.
struct pipe_ends {
  int read_end = -1;
  int write_end = -1;

  pipe_ends() {
    std::array<int, 2> fds{};
    REQUIRE(::pipe2(fds.data(), O_CLOEXEC) == 0);
    read_end = fds[0];
    write_end = fds[1];
  }
  ~pipe_ends() {
    close(read_end);
    close(write_end);
  }
  pipe_ends(const pipe_ends&) = delete;
  pipe_ends& operator=(const pipe_ends&) = delete;
  static void close(int& fd) {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }
  /// Requires room in the pipe.
  void put(std::string_view bytes) const {
    REQUIRE(::write(write_end, bytes.data(), bytes.size()) ==
            static_cast<ssize_t>(bytes.size()));
  }
  [[nodiscard]] std::string take(std::size_t most = 65536) const {
    std::string bytes(most, '\0');
    const ssize_t got = ::read(read_end, bytes.data(), bytes.size());
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
  }
  /// For who opens files by name.
  [[nodiscard]] std::string read_path() const { return "/dev/fd/" + std::to_string(read_end); }
};

inline source_id source_number(unsigned char n) {
  source_id source;
  source.bytes.fill(n);
  return source;
}

inline proto::result_run run_of(std::uint64_t first, const std::vector<std::string>& outputs,
                                status code = status::ok) {
  proto::pack_builder payloads;
  for (const auto& output : outputs) payloads.add(output);
  proto::result_run run;
  run.first = first;
  run.attempt = 1;
  run.code = code;
  run.payloads = payloads.take();
  return run;
}

}  // namespace weir::io_test
