#include "memory.h"

#include <algorithm>
#include <sys/mman.h>
#include <unistd.h>

namespace lavra {

namespace {

constexpr size_t kAlignment = 64; // a line of the processor's cache
constexpr size_t kArenaChunk = 128 << 20; // addresses, which take no memory until they are used
constexpr size_t kLeastMapped = 1 << 17; // as the heap does it

#ifdef __SANITIZE_ADDRESS__
constexpr bool kOnHeap = true; // where the sanitizer watches the ends of every piece
#else
constexpr bool kOnHeap = false;
#endif

bool is_huge(size_t bytes) { return !kOnHeap && bytes >= kHugePage; }
bool is_mapped(size_t bytes) { return !kOnHeap && bytes >= kLeastMapped; }

size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

void *map(size_t bytes) {
    void *mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    return mapped;
}

// A mapping aligned to huge pages: it maps one page more and gives the ends back.
void *map_huge(size_t bytes) {
    char *start = static_cast<char *>(map(bytes + kHugePage));
    char *aligned = reinterpret_cast<char *>(rounded(reinterpret_cast<size_t>(start), kHugePage));
    if (aligned > start) munmap(start, aligned - start);
    munmap(aligned + bytes, start + kHugePage - aligned);
#ifdef MADV_HUGEPAGE
    madvise(aligned, bytes, MADV_HUGEPAGE);
#endif
    return aligned;
}

} // namespace

// The last page stays: it may also hold the data that is needed next.
void release_file_pages(const void *data, size_t bytes) {
    const size_t page = sysconf(_SC_PAGESIZE), start = reinterpret_cast<size_t>(data);
    const size_t first = start / page * page, last = (start + bytes) / page * page;
    if (last > first) madvise(reinterpret_cast<void *>(first), last - first, MADV_DONTNEED);
}

// Small pieces come from the heap: a page for each norm's weights would be larger than the model.
Memory::Memory(size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    if (is_huge(bytes)) data_ = map_huge(rounded(bytes, kHugePage));
    else if (is_mapped(bytes)) data_ = map(bytes);
    else {
        data_ = ::operator new(bytes, std::align_val_t(kAlignment));
        __builtin_memset(data_, 0, bytes);
    }
}

Memory::~Memory() {
    if (data_ == nullptr || !owned_) return;
    if (is_huge(bytes_)) munmap(data_, rounded(bytes_, kHugePage));
    else if (is_mapped(bytes_)) munmap(data_, bytes_);
    else ::operator delete(data_, std::align_val_t(kAlignment));
}

Memory Arena::take(size_t bytes) {
    if (kOnHeap) return Memory(bytes);
    const size_t size = rounded(bytes, kAlignment);
    if (chunks_.empty() || chunks_.back().bytes() - used_ < size) {
        chunks_.emplace_back(std::max(size, kArenaChunk));
        used_ = 0;
    }
    Memory piece(chunks_.back().as<char>() + used_, bytes);
    used_ += size;
    return piece;
}

} // namespace lavra
