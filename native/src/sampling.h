// Choosing the next token of each row of logits.

#pragma once

#include "kernels.h"
#include "lavra_native.h"

namespace lavra {

// As lavra_sample of the interface.
void sample(const Kernels &kernels, const float *logits, int num_rows, int vocab_size,
            const lavra_sampling *const *rows, lavra_choice *choices, int most_top, int32_t *top_ids,
            float *top_logprobs);

} // namespace lavra
