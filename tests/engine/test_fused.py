"""A fused twin computes the model's output, shares only what it may, and leaves the model unchanged."""

import dataclasses
import gc
import weakref

import pytest
import torch
from torch import nn

from lavra.base.errors import LavraError
from lavra.engine.runners.fused import FusedLinear, _size_for, fuse
from lavra.engine.runners.torch import TorchRunner
from lavra.model.build import build_model
from lavra.model.families.table import preset
from lavra.quantize.modules import QuantizedLinear
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model

SIZES = {"vocab_size": 96, "hidden_size": 64, "num_layers": 2, "num_heads": 4, "max_positions": 64}


def made(family, dtype=torch.float32):
    torch.manual_seed(0)
    model = build_model(preset(family, **SIZES))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model.eval().to(dtype)


@torch.no_grad()
def logits(model, family, ids):
    return model(ids, ids) if family == "t5" else model(ids)


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "falcon", "bert", "t5"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_logits(family, dtype):
    model, ids = made(family, dtype), torch.arange(40).view(2, 20)
    expected, found = logits(model, family, ids), logits(fuse(model), family, ids)
    scale = expected.float().std()
    assert scale > 0.1
    assert (found.float() - expected.float()).abs().max() < scale * (1e-5 if dtype == torch.float32 else 0.1)


def test_one_product_for_what_reads_the_same():
    """q, k, v and both gates: four products in a layer instead of seven."""
    twin = fuse(made("llama"))
    assert sum(isinstance(module, FusedLinear) for module in twin.modules()) == 4 * SIZES["num_layers"]
    assert not any(isinstance(module, nn.Linear) for module in twin.modules())


def test_the_model_is_left_alone():
    model = made("t5")
    before = {name: type(module) for name, module in model.named_modules()}
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fuse(model)
    assert {name: type(module) for name, module in model.named_modules()} == before
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in model.state_dict().items())


def test_quantized_matrices_are_shared():
    model = made("llama")
    quantize_model(model, SCHEMES["int8"])
    kept = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    found = [module for module in fuse(model).modules() if isinstance(module, QuantizedLinear)]
    assert [id(one.matrix.packed) for one in found] == [id(one.matrix.packed) for one in kept]


def test_an_engine_does_not_hold_the_float_matrices_twice():
    model = made("llama")
    matrix = weakref.ref(model.decoder.blocks[0].attention.query)
    runner = TorchRunner(model, model.config, num_blocks=4)
    del model
    gc.collect()
    assert matrix() is None
    runner.close()


def test_products_are_made_for_few_sizes():
    """A product is compiled for each size and kept: prompts of every length must not fill the memory."""
    sizes = [_size_for(rows) for rows in range(1, 1025)]
    assert all(rows <= size <= 1.25 * rows for rows, size in enumerate(sizes, start=1))
    assert len(set(sizes)) == 16 + 4 * 6
    assert sizes[:16] == list(range(1, 17))
    assert _size_for(512) == 512


@pytest.mark.parametrize("rows", [1, 16, 17, 33, 100])
def test_any_number_of_rows(rows):
    linear, x = nn.Linear(24, 40), torch.randn(1, rows, 24)
    torch.testing.assert_close(FusedLinear(linear)(x), linear(x), atol=1e-5, rtol=1e-5)


def test_a_twin_of_a_twin_has_the_same_matrices():
    once = fuse(made("llama"))
    linears = [[one for one in twin.modules() if isinstance(one, FusedLinear)] for twin in (once, fuse(once))]
    assert linears[0]
    assert [one._matrix for one in linears[0]] == [one._matrix for one in linears[1]]
    assert once.head._matrix is fuse(once).head._matrix


def test_a_fused_head_does_not_give_the_embedding_for_its_own_matrix():
    model = build_model(dataclasses.replace(preset("llama", **SIZES), tie_embeddings=False)).eval()
    twin, ids = fuse(model), torch.arange(20)[None]
    torch.testing.assert_close(twin(ids), model(ids), atol=1e-5, rtol=1e-5)
    with pytest.raises(LavraError, match="ask the model it was made of"):
        _ = twin.head_weight


def test_a_twin_drops_nothing_out():
    """Its own modules start in training mode, in which BERT's attention would apply dropout."""
    shape = preset("bert", vocab_size=64, hidden_size=32, num_layers=1, num_heads=2, max_positions=16)
    assert not any(module.training for module in fuse(build_model(shape).eval()).modules())
