// Bytes a second that the processor's cores read together from memory: the bound of one stream's tokens.
//
//     native_bandwidth MEGABYTES SECONDS     prints bytes a second, the best of the passes
//
// Each core sums 64-bit words of its share of an area far larger than the caches.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include <sys/mman.h>

using Clock = std::chrono::steady_clock;

static uint64_t sum(const uint64_t *words, size_t count) {
    uint64_t sums[8] = {};
    for (size_t i = 0; i + 8 <= count; i += 8)
        for (int j = 0; j < 8; ++j) sums[j] += words[i + j];
    uint64_t total = 0;
    for (uint64_t one : sums) total += one;
    return total;
}

static double pass(const uint64_t *words, size_t count, unsigned cores, std::vector<uint64_t> &sums) {
    const auto began = Clock::now();
    std::vector<std::thread> threads;
    for (unsigned core = 0; core < cores; ++core)
        threads.emplace_back([=, &sums] { sums[core] += sum(words + count / cores * core, count / cores); });
    for (auto &thread : threads) thread.join();
    return count * 8 / std::chrono::duration<double>(Clock::now() - began).count();
}

int main(int, char **arguments) {
    const size_t bytes = std::strtoull(arguments[1], nullptr, 10) << 20;
    const double seconds = std::atof(arguments[2]);
    const unsigned cores = std::thread::hardware_concurrency();
    void *area = std::aligned_alloc(2 << 20, bytes);
#ifdef MADV_HUGEPAGE
    madvise(area, bytes, MADV_HUGEPAGE);
#endif
    auto *words = static_cast<uint64_t *>(area);
    for (size_t i = 0; i < bytes / 8; ++i) words[i] = i;
    std::vector<uint64_t> sums(cores);
    double best = 0;
    for (const auto end = Clock::now() + std::chrono::duration<double>(seconds); Clock::now() < end;) {
        const double rate = pass(words, bytes / 8, cores, sums);
        best = rate > best ? rate : best;
    }
    uint64_t total = 0;
    for (uint64_t one : sums) total += one;
    std::printf("%.0f %d\n", best, total == 0); // the sum is used, so it is computed
}
