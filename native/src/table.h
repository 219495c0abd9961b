// The table of an instruction set's kernels; included last in its isa_*.cpp.

namespace lavra::LAVRA_ISA {

constexpr Kernels kTable{
    kName,     kInt8Offset, blank,    pack,  prepare, multiply, lookup, rms_norm,       layer_norm,
    activate,  add,         scale,    rotate, store,  attend,   fold,   scratch_floats,
    sampling::peak, sampling::weigh, sampling::sum_exp, sampling::above, sampling::next_above,
};

} // namespace lavra::LAVRA_ISA

namespace lavra {

#define LAVRA_JOIN(isa) isa##_kernels
#define LAVRA_TABLE(isa) LAVRA_JOIN(isa)
const Kernels *LAVRA_TABLE(LAVRA_ISA)() { return LAVRA_ISA::supported() ? &LAVRA_ISA::kTable : nullptr; }

} // namespace lavra
