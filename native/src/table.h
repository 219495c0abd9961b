// The table of an instruction set's kernels; included last in its isa_*.cpp.  It is data: no code of an instruction set
// runs before instruction_sets.cpp has asked the processor.

namespace lavra {

#define LAVRA_STRING(isa) #isa
#define LAVRA_NAME(isa) LAVRA_STRING(isa)
#define LAVRA_JOIN(isa) isa##_kernels
#define LAVRA_TABLE(isa) LAVRA_JOIN(isa)

constinit const Kernels LAVRA_TABLE(LAVRA_ISA){
    LAVRA_NAME(LAVRA_ISA),
    LAVRA_ISA::kInt8Offset,
    LAVRA_ISA::blank,
    LAVRA_ISA::pack,
    LAVRA_ISA::prepare,
    LAVRA_ISA::multiply,
    LAVRA_ISA::lookup,
    LAVRA_ISA::rms_norm,
    LAVRA_ISA::layer_norm,
    LAVRA_ISA::activate,
    LAVRA_ISA::add,
    LAVRA_ISA::scale,
    LAVRA_ISA::rotate,
    LAVRA_ISA::store,
    LAVRA_ISA::attend,
    LAVRA_ISA::fold,
    LAVRA_ISA::scratch_floats,
    LAVRA_ISA::sampling::peak,
    LAVRA_ISA::sampling::weigh,
    LAVRA_ISA::sampling::sum_exp,
    LAVRA_ISA::sampling::above,
    LAVRA_ISA::sampling::next_above,
};

} // namespace lavra
