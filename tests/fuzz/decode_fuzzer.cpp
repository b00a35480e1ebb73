// libFuzzer's entry. docs/protocol.md's frames are its seed corpus: see CMakeLists.txt.
#include "fuzz/decode_property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::fuzz::check_decode(data, size);
  return 0;
}
