"""Adapted models in the engine's fused form, compiled, with recomputed activations and in bfloat16."""

import pytest
import torch

from lavra.adapt.inject import activate, activated, add_adapter, virtual_ids
from lavra.adapt.methods.bottleneck import BottleneckConfig
from lavra.adapt.methods.ia3 import IA3Config
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prefix import PrefixConfig
from lavra.adapt.methods.prompt import PromptConfig
from lavra.engine.runners.fused import fuse
from lavra.model.cache import KVCache
from lavra.train.compile import checkpointed_activations
from tests.adapt.peers import randomize
from tests.adapt.test_inject import run, tiny

CONFIGS = {
    "lora": LoraConfig(rank=3),
    "dora": LoraConfig(rank=2, dora=True, targets=("key", "up")),
    "ia3": IA3Config(),
    "bottleneck": BottleneckConfig(size=3),
    "prompt": PromptConfig(num_tokens=2),
    "prefix": PrefixConfig(num_tokens=2),
}


def adapted(family="llama"):
    model = tiny(family).eval()
    for name, config in CONFIGS.items():
        if not (family == "bert" and name == "prefix"):
            add_adapter(model, name, config)
            randomize(model)
    return model


def rows_with(model, *names):
    """A row for each name, with the adapter's virtual tokens first if it has some, else two more tokens."""
    fronts = [virtual_ids(model, name) if name in ("prompt", "prefix") else (1, 2) for name in names]
    return torch.tensor([[*front, *range(5, 11)] for front in fronts])


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon"])
@torch.inference_mode()
def test_the_engines_twin_computes_the_same_by_rows_and_with_a_cache(family):
    model = adapted(family)
    names = list(CONFIGS)
    ids, rows = rows_with(model, *names), [((name,), [row]) for row, name in enumerate(names)]
    with activated(model, rows=rows):
        expected = model(ids)
        twin = fuse(model)
        assert (twin(ids) - expected).abs().max() < 1e-4
        cache = twin.new_cache(len(names), 16, torch.device("cpu"), torch.float32)
        assert isinstance(cache, KVCache)
        steps = [twin(ids[:, :3], cache=cache), *(twin(ids[:, t : t + 1], cache=cache) for t in range(3, 8))]
        assert (torch.cat(steps, dim=1) - expected).abs().max() < 1e-4
    with activated(model):
        assert (twin(ids[:1]) - expected[:1]).abs().max() > 1e-3, "the twin follows what is active"


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_recomputed_activations_have_the_same_gradients(family):
    model = tiny(family)
    add_adapter(model, "x", PrefixConfig(num_tokens=2, init_std=1.0))
    virtual = torch.tensor([virtual_ids(model, "x")])
    text = torch.arange(6)[None]
    given = (torch.cat((virtual, text), dim=1),) if family == "llama" else (text, torch.cat((virtual, text), dim=1))
    (parameter,) = [one for one in model.parameters() if one.requires_grad]
    found = []
    for wanted in (False, True):
        parameter.grad = None
        with checkpointed_activations(model, wanted):
            model(*given).square().mean().backward()
        found.append(parameter.grad.clone())
    assert found[0].abs().max() > 0
    assert (found[0] - found[1]).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["lora", "dora", "ia3", "bottleneck"])
def test_a_bfloat16_base_has_float32_adapters(name):
    model = tiny().bfloat16()
    add_adapter(model, "x", CONFIGS[name])
    randomize(model)
    trainable = [one for one in model.parameters() if one.requires_grad]
    assert {one.dtype for one in trainable} == {torch.float32}
    out = run(model)
    assert out.dtype == torch.bfloat16
    out.float().square().mean().backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in trainable)
    exact = tiny()
    exact.load_state_dict({key: one.float() for key, one in tiny().bfloat16().state_dict().items()})
    add_adapter(exact, "x", CONFIGS[name])
    randomize(exact)
    assert (out.float() - run(exact)).abs().max() < 0.05 * run(exact).abs().max() + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora", "dora", "ia3", "bottleneck", "prefix"])
def test_compiled_blocks_compute_the_same_in_one_piece(name):
    model = tiny()
    add_adapter(model, "x", CONFIGS[name])
    randomize(model)
    ids = rows_with(model, "lora")
    if name == "prefix":
        ids[:, :2] = torch.tensor(virtual_ids(model, "x"))
    expected = model(ids)
    expected.square().mean().backward()
    gradients = [one.grad.clone() for one in model.parameters() if one.requires_grad]
    for one in model.parameters():
        one.grad = None
    torch.compiler.reset()
    for block in model.blocks:
        block.compile(dynamic=False, fullgraph=True, backend="aot_eager")
    found = model(ids)
    found.square().mean().backward()
    assert (found - expected).abs().max() < 1e-5
    compiled = [one.grad for one in model.parameters() if one.requires_grad]
    assert all((a - b).abs().max() < 1e-5 for a, b in zip(gradients, compiled, strict=True))
    activate(model)
    assert (model(ids[:, 2:]) - expected[:, 2:]).abs().max() > 1e-4
