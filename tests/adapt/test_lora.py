"""LoRA, DoRA and IA3 train as PEFT's: gradients, dropout, initial values."""

import math

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import lavra.adapt.lora
from lavra.adapt.active import Adapters
from lavra.adapt.inject import activate, adapter_modules, add_adapter, train_only
from lavra.adapt.linear import AdaptedLinear
from lavra.adapt.lora import Lora
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.peft_read import load_adapter
from tests.adapt.peers import adapted_by_peft, base_folder, ids_for, logits, ours, randomize
from tests.adapt.test_inject import run, tiny

CONFIGS = {
    "lora": peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"]),
    "dora": peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], use_dora=True),
    "ia3": peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
}
THEIRS = {
    "a": "lora_A.default.weight",
    "b": "lora_B.default.weight",
    "magnitude": "lora_magnitude_vector.default.weight",
    "factors": "ia3_l.default",
}
OURS_TO_THEIRS = {
    "decoder.blocks.": "base_model.model.model.layers.",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "feed_forward.down": "mlp.down_proj",
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_gradients_are_pefts(kind, tmp_path):
    base = base_folder("llama-grouped", tmp_path / "base")
    peer = adapted_by_peft(base, "llama-grouped", CONFIGS[kind], tmp_path / "x")
    model = ours(base)
    load_adapter(model, tmp_path / "x", trainable=True)
    ids = ids_for(model)
    direction = torch.randn(logits(model, ids).shape, generator=torch.Generator().manual_seed(2))
    (model(**ids) * direction).sum().backward()
    (peer(**ids).logits * direction).sum().backward()
    expected = dict(peer.named_parameters())
    compared = 0
    for place, part in adapter_modules(model, "x").items():
        for leaf, parameter in part.named_parameters():
            name = f"{place}.{THEIRS[leaf]}"
            for one, other in OURS_TO_THEIRS.items():
                name = name.replace(one, other)
            gradient = expected[name].grad.reshape(parameter.shape)
            assert (parameter.grad - gradient).abs().max() < 1e-4 * gradient.abs().max(), name
            compared += 1
    assert compared == len(load_file(tmp_path / "x" / "adapter_model.safetensors"))


@pytest.mark.parametrize("dora", [False, True])
def test_dropout_is_of_the_updates_inputs_as_in_peft(dora, monkeypatch):
    """A layer of each library with the same mask."""
    torch.manual_seed(0)
    linear, x = nn.Linear(6, 5), torch.randn(2, 3, 6)
    mask = (torch.rand(2, 3, 6) > 0.4) / 0.6

    class Masked(nn.Module):
        def forward(self, given):
            return given * mask if self.training else given

    config = peft.LoraConfig(r=2, lora_alpha=3, lora_dropout=0.4, use_dora=dora)
    peer = peft.tuners.lora.Linear(linear, "default", config, r=2, lora_alpha=3)
    peer.lora_dropout["default"] = Masked()
    wrapper = AdaptedLinear(linear, Adapters(configs={"x": LoraConfig()}))
    mine = Lora(linear, rank=2, scale=1.5, dropout=0.4, dora=dora)
    wrapper.adapters["x"] = mine
    activate(wrapper, "x")
    with torch.no_grad():
        for name, parameter in mine.named_parameters():
            parameter.copy_(torch.rand_like(parameter) + 0.1)
            peer.get_parameter(THEIRS[name]).copy_(parameter)
    monkeypatch.setattr(lavra.adapt.lora, "drop", lambda given, share, training: given * mask if training else given)
    for training in (True, False):
        wrapper.train(training)
        peer.train(training)
        assert (wrapper(x) - peer(x)).abs().max() < 1e-5


def test_lora_starts_with_no_effect():
    """A starts like nn.Linear (kaiming uniform with a = sqrt 5, so within 1 / sqrt K), B starts at zero."""
    model = tiny()
    torch.manual_seed(1)
    add_adapter(model, "x", LoraConfig(rank=8, alpha=4, targets=("query",)))
    for part in adapter_modules(model, "x").values():
        bound = 1 / math.sqrt(32)
        assert part.a.abs().max() <= bound
        assert abs(part.a.std().item() - bound / math.sqrt(3)) < 0.1 * bound
        assert not part.b.any()
        assert part.scale == 0.5
    add_adapter(model, "y", LoraConfig(rank=16, alpha=4, targets=("query",), rslora=True))
    assert {part.scale for part in adapter_modules(model, "y").values()} == {1.0}


def test_a_step_is_seen_though_lengths_of_rows_are_kept_between_evaluations():
    model = tiny().eval()
    add_adapter(model, "x", LoraConfig(rank=2, dora=True))
    randomize(model)
    before = run(model)
    assert torch.equal(run(model), before)
    with torch.no_grad():
        for part in adapter_modules(model, "x").values():
            part.b.mul_(3)
    after = run(model)
    assert (after - before).abs().max() > 1e-3
    assert (model.train()(torch.arange(24).view(4, 6)) - after).abs().max() < 1e-5


def test_several_adapters_train_at_once_when_set():
    model = tiny()
    for name in ("a", "b", "c"):
        add_adapter(model, name, LoraConfig())
    train_only(model, "a", "c")
    found = {name.split(".adapters.")[1][0] for name, one in model.named_parameters() if one.requires_grad}
    assert found == {"a", "c"}
