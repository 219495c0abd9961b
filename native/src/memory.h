// Memory for weights and caches: zeros, in huge pages where it is large and the kernel offers them.  Untouched pages
// take no memory.

#pragma once

#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace lavra {

constexpr size_t kHugePage = 2 << 20;

// Gives back pages of a file that is mapped for reading: they take no memory until they are read again.
void release_file_pages(const void *data, size_t bytes);

class Memory {
public:
    Memory() = default;
    explicit Memory(size_t bytes);
    ~Memory();
    Memory(Memory &&other) noexcept
        : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)), owned_(std::exchange(other.owned_, true)) {}
    Memory &operator=(Memory &&other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        std::swap(owned_, other.owned_);
        return *this;
    }

    void *data() const { return data_; }
    template <class T> T *as() const { return static_cast<T *>(data_); }
    size_t bytes() const { return bytes_; }

    // Room for at least this many bytes; growing loses the old contents.
    void reserve(size_t bytes) {
        if (bytes > bytes_) *this = Memory(bytes + bytes / 2);
    }

private:
    friend class Arena;
    Memory(void *data, size_t bytes) : data_(data), bytes_(bytes), owned_(false) {}

    void *data_ = nullptr;
    size_t bytes_ = 0;
    bool owned_ = true; // else it is a part of an arena, which gives it back
};

// Pieces of memory side by side, given back together.  A model's matrices are smaller than a huge page each; side by
// side they fill huge pages, so that a pass over all weights looks up few addresses.
class Arena {
public:
    // A piece of zeros; it lives as long as the arena.
    Memory take(size_t bytes);

private:
    std::vector<Memory> chunks_;
    size_t used_ = 0; // of the last chunk
};

} // namespace lavra
