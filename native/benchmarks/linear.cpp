// Speed of products over the matrices of a LLaMA of 135M parameters (SmolLM2), all layers after one another as a pass
// reads them.  One row: bytes read a second.  More: multiplications a second.  The least time of many repetitions.
//
//     linear ISA PRECISION THREADS ROWS...        (native/benchmarks/linear.py compiles and runs it)

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "instruction_sets.h"
#include "kernels.h"
#include "memory.h"
#include "model.h"
#include "threads.h"

using namespace lavra;

namespace {

constexpr int kLayers = 30;
constexpr int kShapes[][2] = {{960, 576}, {576, 576}, {3072, 576}, {576, 1536}, {3072, 576}};
constexpr int kCounts[] = {30, 30, 30, 30, 16}; // the head in 16 parts
constexpr const char *kNames[] = {"qkv", "output", "up", "down", "head"};

struct Held {
    Matrix matrix;
    size_t bytes = 0;
    double least = 0;
};

size_t scale_bytes(const Matrix &m) {
    const bool integers = m.precision == Precision::int8 || m.precision == Precision::int4;
    return integers ? size_t(m.strips()) * (m.padded() / kGroup) * kStrip * 2 : 0;
}

struct Weights {
    Memory memory;
    std::vector<Held> matrices[5];

    Weights(const Kernels &kernels, Precision precision) {
        size_t total = 0;
        for (int shape = 0; shape < 5; ++shape)
            for (int n = 0; n < kCounts[shape]; ++n) {
                Held held;
                held.matrix.precision = precision;
                held.matrix.rows = kShapes[shape][0], held.matrix.columns = kShapes[shape][1];
                held.bytes = data_bytes(held.matrix) + scale_bytes(held.matrix);
                matrices[shape].push_back(held);
                total += held.bytes + 128;
            }
        memory = Memory(total);
        char *at = memory.as<char>();
        for (int n = 0; n < kLayers; ++n)
            for (int shape = 0; shape < 5; ++shape)
                if (n < kCounts[shape]) {
                    Matrix &m = matrices[shape][n].matrix;
                    m.data = at, at += (data_bytes(m) + 63) / 64 * 64;
                    m.scales = reinterpret_cast<uint16_t *>(at), at += (scale_bytes(m) + 63) / 64 * 64;
                    kernels.blank(m);
                    for (size_t i = 0; i < scale_bytes(m) / 2; ++i) m.scales[i] = 0x3c00;
                }
    }
};

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Job {
    const Kernels *kernels;
    Team *team;
    Inputs inputs[2]; // of 576 and 1536
    float *out;
    const Matrix *matrix;
    static void run(void *self, int) { static_cast<Job *>(self)->product(); }
    void product() {
        const Matrix &m = *matrix;
        const int strips = m.strips(), pieces = team->size() * (strips >= 256 ? 8 : 3);
        team->each(strips, std::max(2, (strips + pieces - 1) / pieces), [&](int first, int last) {
            kernels->multiply(m, inputs[m.columns == 1536], out, m.rows, false, first, last);
        });
    }
};

// Each matrix's least time, all being read in the order of a pass, so that none stays in a cache.  The least, since
// others may be at work on this machine.
void measure(Job &job, Team &team, std::vector<Held *> &order, double budget) {
    for (Held *held : order) held->least = 1e9;
    const double end = seconds() + budget;
    for (int n = 0; n < 5 || seconds() < end; ++n)
        for (Held *held : order) {
            job.matrix = &held->matrix;
            const double start = seconds();
            team.run(Job::run, &job);
            held->least = std::min(held->least, seconds() - start);
        }
}

} // namespace

int main(int count, char **arguments) {
    const Kernels &kernels = find_kernels(arguments[1]);
    const std::string names[] = {"f32", "bf16", "int8", "int4"};
    int chosen = 0;
    while (chosen < 3 && names[chosen] != arguments[2]) ++chosen;
    const Precision precision = Precision(chosen);
    Team team(std::atoi(arguments[3]));
    Weights weights(kernels, precision);
    std::printf("%-9s %-5s %s threads  rows", arguments[1], arguments[2], arguments[3]);
    for (const char *name : kNames) std::printf(" %9s", name);
    std::printf(" %9s %9s\n", "pass", "tokens/s");
    for (int a = 4; a < count; ++a) {
        const int rows = std::atoi(arguments[a]);
        const size_t group_bytes = size_t(rows) * 1536 / kGroup * 4;
        Memory data[2], scales(group_bytes), sums(group_bytes), out(size_t(rows) * 3072 * 4);
        Job job{&kernels, &team, {}, out.as<float>(), nullptr};
        std::vector<float> x(1536);
        for (int i = 0; i < 1536; ++i) x[i] = float(i * 37 % 101) - 50;
        for (int wide = 0; wide < 2; ++wide) {
            Inputs &in = job.inputs[wide];
            in.rows = rows, in.padded = wide ? 1536 : 576;
            data[wide] = Memory(rows * in.row_bytes());
            in.data = data[wide].data(), in.scales = scales.as<float>(), in.sums = sums.as<int32_t>();
            for (int row = 0; row < rows; ++row) kernels.prepare(precision, x.data(), in.padded, in, row);
        }
        std::printf("%31d", rows);
        std::vector<Held *> order;
        for (int n = 0; n < kLayers; ++n)
            for (int shape = 0; shape < 4; ++shape) order.push_back(&weights.matrices[shape][n]);
        for (int n = 0; rows <= 64 && n < kCounts[4]; ++n)
            order.push_back(&weights.matrices[4][n]);
        measure(job, team, order, 1.5);
        double whole = 0;
        for (int shape = 0; shape < (rows <= 64 ? 5 : 4); ++shape) {
            double bytes = 0, products = 0, time = 0;
            for (const Held &held : weights.matrices[shape]) {
                bytes += held.bytes, time += held.least;
                products += double(held.matrix.rows) * held.matrix.columns * rows;
            }
            whole += time;
            std::printf(" %9.1f", (rows == 1 ? bytes : products) / time / 1e9);
        }
        std::printf(rows > 64 ? " %19.2fms %9.0f\n" : " %7.2fms %9.0f\n", whole * 1e3, rows / whole);
        std::fflush(stdout);
    }
}
