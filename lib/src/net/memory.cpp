#include <weir/memory.hpp>

#include <cstdlib>  // any of libc's headers: without one, __GLIBC__ is not defined yet

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace weir {

void keep_freed_memory() noexcept {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);  // the largest that glibc allows
  mallopt(M_TRIM_THRESHOLD, 32 * 1024 * 1024);
  mallopt(M_TOP_PAD, 1024 * 1024);
#endif
}

}  // namespace weir
