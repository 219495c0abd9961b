#include "instruction_sets.h"

#include <cstring>

#include "error.h"

#ifdef LAVRA_HAS_AVX2
#include <cpuid.h>
#endif
#if defined(LAVRA_HAS_NEON) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace lavra {
namespace {

#ifdef LAVRA_HAS_AVX2
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

#ifdef LAVRA_HAS_AVXVNNI
// The processor itself is asked: compilers older than this instruction set do not know its name.
bool has_avxvnni() {
    unsigned a = 0, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
#endif

#ifdef LAVRA_HAS_AVX512
bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}
#endif

#ifdef LAVRA_HAS_NEON
// The NEON kernels are compiled for dot products as well, which the first AArch64 processors lack.
bool has_neon() {
#ifdef __linux__
    return getauxval(AT_HWCAP) & (1 << 20); // HWCAP_ASIMDDP
#else
    return true;
#endif
}
#endif

bool has_portable() { return true; }

struct InstructionSet {
    const Kernels &kernels;
    bool (*supported)();
};

// Best first.
const InstructionSet kSets[] = {
#ifdef LAVRA_HAS_AVX512
    {avx512_kernels, has_avx512},
#endif
#ifdef LAVRA_HAS_AVXVNNI
    {avxvnni_kernels, has_avxvnni},
#endif
#ifdef LAVRA_HAS_AVX2
    {avx2_kernels, has_avx2},
#endif
#ifdef LAVRA_HAS_NEON
    {neon_kernels, has_neon},
#endif
    {portable_kernels, has_portable},
};

} // namespace

const Kernels &find_kernels(const char *name) {
    for (const InstructionSet &set : kSets)
        if ((name == nullptr || !std::strcmp(name, set.kernels.name)) && set.supported()) return set.kernels;
    throw Error(std::string("instruction set '") + name + "' is not in this build or not in this processor; there are " +
                kernel_names());
}

std::string kernel_names() {
    std::string names;
    for (const InstructionSet &set : kSets) {
        if (!set.supported()) continue;
        if (!names.empty()) names += ',';
        names += set.kernels.name;
    }
    return names;
}

} // namespace lavra
