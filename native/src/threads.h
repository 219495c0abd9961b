// A team of threads that goes through the same code together, from barrier to barrier.
//
// Between passes the helpers wait actively for a moment, then sleep: other work on the machine gets the cores.

#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace lavra {

class Team {
public:
    explicit Team(int threads);
    ~Team();
    Team(const Team &) = delete;

    int size() const { return size_; }

    // Every thread calls job(with, thread); the caller is thread 0.  Returns when all are done.
    void run(void (*job)(void *, int), void *with);

    template <class Job> void run(Job &&job) {
        run([](void *with, int thread) { (*static_cast<std::remove_reference_t<Job> *>(with))(thread); }, &job);
    }

    // Inside a job: pieces [first, first + chunk) of 0 .. count, each for the first free thread, then a barrier.
    template <class Body> void each(int count, int chunk, Body &&body) {
        for (int first = take(chunk); first < count; first = take(chunk))
            body(first, first + chunk < count ? first + chunk : count);
        barrier();
    }

private:
    int take(int chunk) { return size_ == 1 ? (alone_ += chunk) - chunk : next_.fetch_add(chunk, std::memory_order_relaxed); }
    void barrier();
    void help(int thread);

    const int size_;
    int alone_ = 0;
    alignas(64) std::atomic<int> next_{0};
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> generation_{0};
    alignas(64) std::atomic<unsigned> jobs_{0};
    std::atomic<bool> closing_{false};
    void (*job_)(void *, int) = nullptr;
    void *with_ = nullptr;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::thread> helpers_;
};

} // namespace lavra
