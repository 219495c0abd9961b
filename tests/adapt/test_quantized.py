"""Adapters on INT8 and INT4 bases: exact gradients, a known optimum is found, memory is freed."""

import copy

import pytest
import torch
from torch import nn

from lavra.adapt.inject import activate, add_adapter, count_parameters, eject, virtual_ids
from lavra.adapt.linear import AdaptedLinear
from lavra.adapt.methods.bottleneck import BottleneckConfig
from lavra.adapt.methods.ia3 import IA3Config
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prefix import PrefixConfig
from lavra.adapt.methods.prompt import PromptConfig
from lavra.adapt.peft_read import load_adapter
from lavra.adapt.peft_write import save_adapter
from lavra.quantize.modules import QuantizedLinear
from lavra.quantize.scheme import SCHEMES, PackedLayout
from lavra.quantize.swap import quantize_model, replace_module
from tests.adapt.peers import randomize
from tests.adapt.test_inject import run, shape_of, tiny

CONFIG = LoraConfig(rank=2, targets=("query", "value"))


def quantized(name, family="llama", layout=PackedLayout.NATIVE):
    model = tiny(family)
    quantize_model(model, SCHEMES[name], layout=layout)
    return model.eval()


def in_floats(model):
    """The same model with the quantized model's stored weights in floats."""
    made = copy.deepcopy(model)
    for name, module in list(made.named_modules()):
        if isinstance(module, QuantizedLinear):
            weight = module.matrix.dequantized(torch.float32)
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=module.bias is not None)
            linear.weight = nn.Parameter(weight)
            linear.bias = module.bias
            replace_module(made, name, linear)
    return made


@pytest.mark.parametrize("name", ["int8", "int4"])
def test_gradients_are_those_of_the_stored_weights(name):
    model = quantized(name, "gpt2", PackedLayout.INTERCHANGE)
    twin = in_floats(model)
    for one in (model, twin):
        torch.manual_seed(3)
        add_adapter(one, "x", CONFIG)
        randomize(one)
        run(one).square().sum().backward()
    found, expected = ({n: p.grad for n, p in one.named_parameters() if p.grad is not None} for one in (model, twin))
    assert set(found) == set(expected)
    for key, gradient in found.items():
        assert (gradient - expected[key]).abs().max() < 1e-4 * max(1.0, expected[key].abs().max().item()), key


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_a_known_optimum_is_found(name):
    """The target is the output of the same base with a random adapter."""
    model = quantized(name)
    add_adapter(model, "teacher", CONFIG)
    randomize(model, scale=0.3)
    target = run(model).detach()
    add_adapter(model, "student", CONFIG)
    packed = {key: one.clone() for key, one in model.state_dict().items() if "adapters" not in key}
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], lr=0.03)
    losses = []
    for _ in range(80):
        loss = (run(model) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert all(torch.equal(one, packed[key]) for key, one in model.state_dict().items() if key in packed)


def test_no_float_weight_is_kept_for_the_backward_pass():
    model = quantized("int4")
    add_adapter(model, "x", LoraConfig(rank=2, targets="all-linear"))
    kept = []
    size = model.config.hidden_size * model.config.feed_forward_size
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one.numel()) or one, lambda one: one):
        model.decoder.blocks[0].feed_forward(torch.randn(1, 2, 32, requires_grad=True))
    assert kept
    assert max(kept) < size


@pytest.mark.parametrize(
    "config",
    [CONFIG, LoraConfig(rank=2, dora=True), IA3Config(), BottleneckConfig(size=3), PromptConfig(num_tokens=2),
     PrefixConfig(num_tokens=2)],
    ids=lambda config: type(config).__name__,
)  # fmt: skip
def test_every_method_works_on_an_int8_base_and_leaves_it_as_it_was(config, tmp_path):
    model = quantized("int8")
    before, plain = shape_of(model), run(model)
    add_adapter(model, "x", config)
    randomize(model)
    ids = torch.arange(24).view(4, 6)
    if isinstance(config, PromptConfig | PrefixConfig):
        ids = torch.cat((torch.tensor([virtual_ids(model, "x")]).expand(4, -1), ids), dim=1)
    out = model(ids)
    out.square().mean().backward()
    trained = [one for one in model.parameters() if one.requires_grad]
    assert all(one.grad is not None for one in trained)
    assert (out[:, -6:] - plain).abs().max() > 1e-3
    save_adapter(model, "x", tmp_path)
    load_adapter(model, tmp_path, "y")
    if not isinstance(config, PromptConfig | PrefixConfig):
        assert (model(ids) - out).abs().max() < 1e-5
    activate(model)
    assert (run(model) - plain).abs().max() < 1e-6
    eject(model)
    assert shape_of(model) == before


def test_every_quantized_layer_lets_gradients_through_and_counts():
    model = quantized("int8-dynamic")
    total = count_parameters(model).total
    assert total == count_parameters(tiny()).total
    add_adapter(model, "x", CONFIG)
    inside = [name for name, one in model.named_modules() if isinstance(one, QuantizedLinear)]
    assert inside
    assert all(isinstance(model.get_submodule(name.removesuffix(".base")), AdaptedLinear) for name in inside)
