// write_corpus PAGE FOLDER: the page's frames, one file each, as a fuzzer's seed corpus.
#include "fuzz/decode_property.hpp"
#include "support/golden.hpp"

#include <cstdio>
#include <exception>
#include <filesystem>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: write_corpus PAGE FOLDER\n");
    return 64;
  }
  try {
    const std::filesystem::path folder = argv[2];
    std::filesystem::create_directories(folder);
    for (const auto& frame : weir::test::read_golden_frames(argv[1])) {
      std::ofstream out(folder / frame.name, std::ios::binary);
      out << weir::fuzz::joined(frame.header, frame.body);
      if (!out.flush())
        throw std::runtime_error("cannot write " + (folder / frame.name).string());
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "write_corpus: %s\n", e.what());
    return 74;
  }
}
