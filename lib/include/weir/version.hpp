// The version of the library, and of the wire protocol it speaks.
#pragma once

/// CMake, the programs' --version and the installed package files read this line; nobody
/// repeats it.
#define WEIR_VERSION "0.1.0"

namespace weir {

/// The link protocol's version, sent in HELLO. Peers with another one are refused with
/// ERROR `version`. See docs/protocol.md, "Growth".
inline constexpr unsigned wire_version = 1;

}  // namespace weir
