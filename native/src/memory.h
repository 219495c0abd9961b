// Memory for weights and caches: zeros, aligned to pages, in huge pages where the kernel offers them.

#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace lavra {

class Memory {
public:
    Memory() = default;
    explicit Memory(size_t bytes);
    ~Memory();
    Memory(Memory &&other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Memory &operator=(Memory &&other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }

    void *data() const { return data_; }
    template <class T> T *as() const { return static_cast<T *>(data_); }
    size_t bytes() const { return bytes_; }

    // At least so many bytes; what was there is lost when it grows.
    void reserve(size_t bytes) {
        if (bytes > bytes_) *this = Memory(bytes + bytes / 2);
    }

private:
    void *data_ = nullptr;
    size_t bytes_ = 0;
};

} // namespace lavra
