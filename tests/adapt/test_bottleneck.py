"""Bottleneck adapters: their output, their places in the model, and their own folder."""

import json

import pytest
import torch
from torch.nn import functional

from lavra.adapt.inject import adapter_modules, add_adapter
from lavra.adapt.methods.bottleneck import After, BottleneckConfig
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.peft_read import load_adapter
from lavra.adapt.peft_write import save_adapter
from lavra.base.errors import CheckpointError, ConfigError
from lavra.base.tasks import HeadKind
from lavra.model.config import Activation
from lavra.model.heads import add_task_head
from lavra.model.task_config import TaskConfig
from tests.adapt.peers import randomize
from tests.adapt.test_inject import run, tiny


@pytest.mark.parametrize("family", ["llama", "bert", "falcon", "t5"])
@pytest.mark.parametrize("after", [(After.ATTENTION,), (After.FEED_FORWARD,), tuple(After)])
@torch.no_grad()
def test_it_equals_hooks_behind_the_sub_layers(family, after):
    """An independent computation: the same formula in forward hooks of a model without adapters."""
    model, plain = tiny(family).eval(), tiny(family).eval()
    add_adapter(model, "x", BottleneckConfig(size=5, after=after, activation=Activation.RELU))
    randomize(model)
    sub_layers = {After.ATTENTION: ("attention", "cross_attention"), After.FEED_FORWARD: ("feed_forward",)}
    wanted = [
        name
        for name, module in plain.named_modules()
        if module is not None and name.rsplit(".", 1)[-1] in [one for kind in after for one in sub_layers[kind]]
    ]
    parts = adapter_modules(model, "x")
    assert len(parts) == len(wanted)
    before = run(plain)

    def behind(part):
        def hook(module, given, y):
            inner = functional.relu(y @ part.down.T + part.down_bias)
            return y + inner @ part.up.T + part.up_bias

        return hook

    for place, part in parts.items():
        sub_layer = plain.get_submodule(place.rpartition(".")[0])
        if place.endswith("cross_attention.output"):
            sub_layer = plain.get_submodule(place)  # cross attention is not called as a module
        sub_layer.register_forward_hook(behind(part))
    expected = run(plain)
    assert (run(model) - expected).abs().max() < 1e-5 * max(1.0, expected.abs().max().item())
    assert (expected - before).abs().max() > 0.01


@torch.no_grad()
def test_a_folder_of_our_own_is_opened_again(tmp_path):
    def fresh():
        return add_task_head(tiny("bert"), TaskConfig.of(HeadKind.SEQUENCE, ("no", "yes"))).eval()

    model, ids = fresh(), torch.arange(12).view(3, 4)
    config = BottleneckConfig(
        size=3, after=(After.FEED_FORWARD,), activation=Activation.SILU, modules_to_save=("head",)
    )
    add_adapter(model, "x", config)
    randomize(model)
    save_adapter(model, "x", tmp_path, base="there")
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (settings["peft_type"], settings["base_model_name_or_path"]) == ("LAVRA_BOTTLENECK", "there")
    torch.manual_seed(0)
    again = fresh()
    load_adapter(again, tmp_path, "y")
    assert torch.equal(again(ids), model(ids))
    with pytest.raises(CheckpointError, match="made for another model"):
        load_adapter(add_task_head(tiny("gpt2"), TaskConfig.of(HeadKind.SEQUENCE, ("no", "yes"))), tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"after": ["before"]}, r"after\[0\]: unknown value 'before'"),
        ({"activation": "gelv"}, "activation: unknown value 'gelv'; did you mean 'gelu'"),
        ({"gating": True}, "gating=True"),
    ],
)
def test_settings_that_are_refused(settings, said, tmp_path):
    model = tiny()
    add_adapter(model, "x", BottleneckConfig(size=2))
    save_adapter(model, "x", tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    with pytest.raises(CheckpointError, match=said):
        load_adapter(tiny(), tmp_path)


def test_configurations_that_are_refused():
    with pytest.raises(ConfigError, match="size is 0"):
        BottleneckConfig(size=0)
    with pytest.raises(ConfigError, match="each once"):
        BottleneckConfig(after=(After.ATTENTION, After.ATTENTION))
    model = tiny()
    add_adapter(model, "x", BottleneckConfig())
    with pytest.raises(ConfigError, match="has adapters inside"):
        add_adapter(model, "y", LoraConfig(modules_to_save=("decoder.blocks.0.attention",)))
