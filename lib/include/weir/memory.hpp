// The allocator's settings that suit nodes.
#pragma once

namespace weir {

/// Tells the C library to keep freed memory for the next message instead of giving it back to
/// the system after each: messages are a quarter of a megabyte, and with the default settings
/// every one of them costs page faults. For programs to call first in main(); the weir programs
/// do. It affects the whole process, which is why the library does not do it by itself.
///
/// Worth a fifth of the time of 1 KiB tasks (docs/performance.md). With a C library other than
/// glibc it does nothing.
///
/// Threads    Before there is a second one.
void keep_freed_memory() noexcept;

}  // namespace weir
