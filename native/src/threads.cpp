#include "threads.h"

#include <chrono>

namespace lavra {

namespace {

void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

constexpr int kPatience = 200; // looks at a barrier, some 10 microseconds, before the core is offered to others
constexpr std::chrono::microseconds kWatch(100);

} // namespace

Team::Team(int threads) : size_(threads) {
    for (int thread = 1; thread < threads; ++thread) helpers_.emplace_back([this, thread] { help(thread); });
}

Team::~Team() {
    {
        std::lock_guard lock(mutex_);
        closing_ = true;
    }
    changed_.notify_all();
    for (auto &helper : helpers_) helper.join();
}

void Team::run(void (*job)(void *, int), void *with) {
    alone_ = 0;
    if (size_ == 1) return job(with, 0);
    job_ = job, with_ = with;
    {
        std::lock_guard lock(mutex_); // a helper that is about to sleep looks once more under it
        jobs_.fetch_add(1, std::memory_order_release);
    }
    changed_.notify_all();
    job(with, 0);
    barrier();
}

void Team::barrier() {
    if (size_ == 1) {
        alone_ = 0;
        return;
    }
    const unsigned generation = generation_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
        arrived_.store(0, std::memory_order_relaxed);
        next_.store(0, std::memory_order_relaxed);
        generation_.store(generation + 1, std::memory_order_release);
        return;
    }
    for (int looks = 0; generation_.load(std::memory_order_acquire) == generation; ++looks)
        looks < kPatience ? pause() : std::this_thread::yield();
}

void Team::help(int thread) {
    unsigned done = 0;
    while (true) {
        const auto until = std::chrono::steady_clock::now() + kWatch;
        while (jobs_.load(std::memory_order_acquire) == done && !closing_ && std::chrono::steady_clock::now() < until) pause();
        if (jobs_.load(std::memory_order_acquire) == done) {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [&] { return closing_ || jobs_.load(std::memory_order_acquire) != done; });
        }
        if (closing_) return;
        ++done;
        job_(with_, thread);
        barrier();
    }
}

} // namespace lavra
