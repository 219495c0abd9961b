// The C interface: it catches every exception and turns it into a message.

#include <string>

#include "border.h"
#include "instruction_sets.h"
#include "lavra_native.h"
#include "linear.h"
#include "runner.h"
#include "sampling.h"
#include "tensors.h"

using lavra::guarded;
using lavra::required;

struct lavra_model : lavra::Model {
    using Model::Model;
};

struct lavra_runner : lavra::Runner {
    using Runner::Runner;
};

#pragma GCC visibility push(default)

const char *lavra_error(void) { return lavra::error_text.c_str(); }

uint32_t lavra_abi(void) { return LAVRA_ABI; }

const char *lavra_isas(void) {
    static const std::string names = lavra::kernel_names();
    return names.c_str();
}

lavra_model *lavra_model_new(const lavra_config *config, const char *isa, int32_t precision) {
    lavra_model *made = nullptr;
    guarded([&] {
        if (precision != LAVRA_F32 && precision != LAVRA_BF16) throw lavra::Error("floats are computed in F32 or BF16, not in type " + std::to_string(precision));
        made = new lavra_model(required(config, "configuration"), lavra::find_kernels(isa), precision == LAVRA_F32 ? lavra::Precision::f32 : lavra::Precision::bf16);
    });
    return made;
}

int lavra_model_set(lavra_model *model, const char *name, const lavra_tensor *tensor) {
    return guarded([&] { required(model, "model").set(&required(name, "name"), required(tensor, "tensor")); });
}

int lavra_model_finish(lavra_model *model) {
    return guarded([&] { required(model, "model").finish(); });
}

int32_t lavra_model_adapter(lavra_model *model) {
    int32_t number = -1;
    guarded([&] { number = required(model, "model").add_adapter(); });
    return number;
}

int lavra_model_adapt(lavra_model *model, int32_t adapter, const char *name, const lavra_tensor *down, const lavra_tensor *up, float scale) {
    return guarded([&] {
        required(model, "model").adapt(adapter, &required(name, "name"), required(down, "tensor"), required(up, "tensor"), scale);
    });
}

int lavra_model_virtual(lavra_model *model, const lavra_tensor *rows) {
    return guarded([&] { required(model, "model").add_virtual(required(rows, "tensor")); });
}

int lavra_model_prefix(lavra_model *model, const lavra_tensor *pairs) {
    return guarded([&] { required(model, "model").add_prefix(required(pairs, "tensor")); });
}

uint64_t lavra_model_bytes(const lavra_model *model) { return model ? model->bytes() : 0; }

const char *lavra_model_isa(const lavra_model *model) { return model ? model->kernels.name : ""; }

void lavra_model_free(lavra_model *model) { delete model; }

lavra_runner *lavra_runner_new(lavra_model *model, int32_t num_blocks, int32_t cache, int32_t num_threads) {
    lavra_runner *made = nullptr;
    guarded([&] {
        if (!required(model, "model").finished()) throw lavra::Error("the model is not finished: lavra_model_finish comes first");
        if (num_blocks < 1 && model->config.kind != LAVRA_ENCODER) throw lavra::Error("a cache has at least one block");
        if (cache < LAVRA_CACHE_F32 || cache > LAVRA_CACHE_INT8) throw lavra::Error("cache type " + std::to_string(cache) + " is unknown");
        if (num_threads < 1 || num_threads > 1024) throw lavra::Error(std::to_string(num_threads) + " threads; give 1 to 1024");
        made = new lavra_runner(*model, num_blocks, lavra::CacheType(cache), num_threads);
    });
    return made;
}

uint64_t lavra_runner_bytes(const lavra_runner *runner) { return runner ? runner->bytes() : 0; }

int lavra_runner_forward(lavra_runner *runner, const lavra_batch *batch, float *logits, uint64_t num_floats) {
    return guarded([&] { required(runner, "runner").forward(required(batch, "batch"), logits, num_floats); });
}

int lavra_runner_encode(lavra_runner *runner, const lavra_row *rows, int32_t num_rows, float *hidden, uint64_t num_floats) {
    return guarded([&] { required(runner, "runner").encode(&required(rows, "row"), num_rows, &required(hidden, "room"), num_floats); });
}

int lavra_runner_logits(lavra_runner *runner, const float *hidden, int32_t count, float *logits, uint64_t num_floats) {
    return guarded([&] { required(runner, "runner").logits(&required(hidden, "state"), count, &required(logits, "room"), num_floats); });
}

int32_t lavra_runner_source(lavra_runner *runner, const lavra_row *row) {
    int32_t number = -1;
    guarded([&] { number = required(runner, "runner").add_source(required(row, "row")); });
    return number;
}

int lavra_runner_forget(lavra_runner *runner, int32_t source) {
    return guarded([&] { required(runner, "runner").forget_source(source); });
}

void lavra_runner_free(lavra_runner *runner) { delete runner; }

int lavra_sample(const char *isa, lavra_runner *helper, const float *logits, int32_t num_rows, int32_t vocab_size,
                 const lavra_sampling *const *rows, lavra_choice *choices, int32_t most_top, int32_t *top_ids,
                 float *top_logprobs) {
    return guarded([&] {
        const auto &kernels = lavra::find_kernels(isa);
        lavra::Team *team = helper ? &helper->team() : nullptr;
        lavra::sample(kernels, team, logits, num_rows, vocab_size, rows, choices, most_top, top_ids, top_logprobs);
    });
}

int lavra_linear(const char *isa, const lavra_tensor *tensor, int32_t precision, const float *inputs, int32_t m,
                 float *outputs) {
    return guarded([&] {
        if (precision != LAVRA_F32 && precision != LAVRA_BF16) throw lavra::Error("floats are computed in F32 or BF16, not in type " + std::to_string(precision));
        if (m < 1) throw lavra::Error(std::to_string(m) + " rows of inputs; give at least one");
        const auto wanted = precision == LAVRA_F32 ? lavra::Precision::f32 : lavra::Precision::bf16;
        lavra::check_tensor("the tensor", required(tensor, "tensor"));
        lavra::linear(lavra::find_kernels(isa), *tensor, wanted, &required(inputs, "input"), m, &required(outputs, "room"));
    });
}

#pragma GCC visibility pop
