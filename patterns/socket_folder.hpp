// Where the parts of one program meet.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <stdexcept>
#include <string>

/// A folder of our own for ipc:// endpoints, gone with this object. In /tmp whatever TMPDIR
/// says, because the path of a socket has at most 107 bytes.
class socket_folder {
 public:
  socket_folder() {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("cannot create " + path_);
  }
  ~socket_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  socket_folder(const socket_folder&) = delete;
  socket_folder& operator=(const socket_folder&) = delete;

  [[nodiscard]] std::string endpoint(const std::string& name) const {
    return "ipc://" + path_ + "/" + name;
  }

 private:
  std::string path_ = "/tmp/weir-pattern.XXXXXX";
};
