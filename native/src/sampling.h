// Choose the next token of each row of logits.

#pragma once

#include "kernels.h"
#include "lavra_native.h"
#include "threads.h"

namespace lavra {

// lavra_sample of the interface; the team shares the rows, where there is a team.
void sample(const Kernels &kernels, Team *team, const float *logits, int num_rows, int vocab_size,
            const lavra_sampling *const *rows, lavra_choice *choices, int most_top, int32_t *top_ids,
            float *top_logprobs);

} // namespace lavra
