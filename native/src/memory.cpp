#include "memory.h"

#include <sys/mman.h>

namespace lavra {

namespace {
constexpr size_t kHuge = 2 << 20;
size_t rounded(size_t bytes) { return (bytes + kHuge - 1) / kHuge * kHuge; }
} // namespace

// Small blocks come from the heap: a huge page for each norm's weights would be larger than the model.
Memory::Memory(size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    if (bytes < kHuge) {
        data_ = ::operator new(bytes, std::align_val_t(64));
        __builtin_memset(data_, 0, bytes);
        return;
    }
    // A mapping aligned to huge pages: one page more, and the ends given back.
    const size_t size = rounded(bytes);
    void *mapped = mmap(nullptr, size + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    char *start = static_cast<char *>(mapped);
    char *aligned = reinterpret_cast<char *>(rounded(reinterpret_cast<size_t>(start)));
    if (aligned > start) munmap(start, aligned - start);
    munmap(aligned + size, start + kHuge - aligned);
#ifdef MADV_HUGEPAGE
    madvise(aligned, size, MADV_HUGEPAGE);
#endif
    data_ = aligned;
}

Memory::~Memory() {
    if (data_ == nullptr) return;
    if (bytes_ < kHuge)
        ::operator delete(data_, std::align_val_t(64));
    else
        munmap(data_, rounded(bytes_));
}

} // namespace lavra
