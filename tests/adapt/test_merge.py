"""Merging adapters into the weights and removing them again."""

import copy

import pytest
import torch

from lavra.adapt.inject import activate, adapters_of, add_adapter, eject, remove_adapter
from lavra.adapt.merge import merge, unmerge
from lavra.adapt.methods.bottleneck import BottleneckConfig
from lavra.adapt.methods.ia3 import IA3Config
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prefix import PrefixConfig
from lavra.adapt.methods.prompt import PromptConfig
from lavra.adapt.peft_write import save_adapter
from lavra.base.errors import ConfigError
from lavra.base.tasks import HeadKind
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.heads import add_task_head
from lavra.model.task_config import TaskConfig
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from tests.adapt.peers import randomize
from tests.adapt.test_inject import run, tiny

CONFIGS = {
    "lora": LoraConfig(rank=3, targets="all-linear"),
    "rslora": LoraConfig(rank=3, rslora=True),
    "dora": LoraConfig(rank=2, dora=True, targets=("key", "up", "query")),
    "ia3": IA3Config(),
}


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon", "bert", "t5"])
@pytest.mark.parametrize(
    "names", [("lora",), ("rslora",), ("dora",), ("ia3",), ("lora", "dora", "ia3"), ("ia3", "lora")]
)
@torch.no_grad()
def test_merged_equals_unmerged_and_the_way_back_is_exact(names, family):
    model = tiny(family).eval()
    weights, plain = copy.deepcopy(model.state_dict()), run(model)
    for name in names:
        add_adapter(model, name, CONFIGS[name])
        randomize(model, scale=0.1)
    activate(model, *names)
    adapted = run(model)
    merge(model)
    assert adapters_of(model).merged == names
    assert (run(model) - adapted).abs().max() < 1e-5 * max(1.0, adapted.abs().max().item())
    assert (adapted - plain).abs().max() > 1e-3
    unmerge(model)
    assert torch.equal(run(model), adapted)
    eject(model)
    assert all(torch.equal(one, weights[name]) for name, one in model.state_dict().items())


@torch.no_grad()
def test_a_merged_model_is_saved_as_an_ordinary_checkpoint(tmp_path):
    model = tiny("gpt2").eval()
    add_adapter(model, "x", CONFIGS["lora"])
    randomize(model)
    adapted = run(model)
    merge(model, "x")
    with pytest.raises(ConfigError, match="keep_merged"):
        eject(model)
    eject(model, keep_merged=True)
    save_checkpoint(model, tmp_path)
    again = load_checkpoint(tmp_path)[0]
    assert (run(again) - adapted).abs().max() < 1e-5
    assert all(one.requires_grad for one in model.parameters())


@torch.no_grad()
def test_a_head_trained_whole_takes_its_place():
    model = add_task_head(tiny("bert"), TaskConfig.of(HeadKind.SEQUENCE, ("no", "yes"))).eval()
    ids = torch.arange(12).view(3, 4)
    add_adapter(model, "x", LoraConfig(modules_to_save=("head",)))
    randomize(model)
    adapted = model(ids)
    merge(model)
    assert (model(ids) - adapted).abs().max() < 1e-5
    eject(model, keep_merged=True)
    assert (model(ids) - adapted).abs().max() < 1e-5


def test_two_heads_cannot_be_one():
    model = add_task_head(tiny("bert"), TaskConfig.of(HeadKind.SEQUENCE, ("no", "yes")))
    for name in ("a", "b"):
        add_adapter(model, name, LoraConfig(modules_to_save=("head",)))
    with pytest.raises(ConfigError, match="a, b each have a head of their own"):
        merge(model, "a", "b")


def test_while_merged_nothing_else_changes(tmp_path):
    model = tiny()
    add_adapter(model, "x", LoraConfig())
    merge(model)
    for refused in (
        lambda: merge(model, "x"),
        lambda: activate(model, "x"),
        lambda: add_adapter(model, "y", LoraConfig()),
        lambda: remove_adapter(model, "x"),
        lambda: save_adapter(model, "x", tmp_path),
    ):
        with pytest.raises(ConfigError, match="merged"):
            refused()
    unmerge(model)
    with pytest.raises(ConfigError, match="nothing is merged"):
        unmerge(model)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (PromptConfig(num_tokens=1), "virtual tokens"),
        (PrefixConfig(num_tokens=1), "virtual tokens"),
        (BottleneckConfig(), "not a linear map"),
    ],
)
def test_adapters_that_cannot_merge_give_the_reason(config, said):
    model = tiny()
    add_adapter(model, "lora", LoraConfig())
    add_adapter(model, "x", config)
    weights = copy.deepcopy(model.state_dict())
    with pytest.raises(ConfigError, match=said):
        merge(model, "lora", "x")
    assert adapters_of(model).merged == ()
    assert all(torch.equal(one, weights[name]) for name, one in model.state_dict().items())


def test_a_quantized_base_cannot_take_an_update():
    model = tiny()
    quantize_model(model, SCHEMES["int4"])
    add_adapter(model, "x", LoraConfig())
    with pytest.raises(ConfigError, match=r"query is quantized.*rounded away"):
        merge(model)


def test_no_adapter_acts():
    model = tiny()
    add_adapter(model, "x", LoraConfig())
    activate(model)
    with pytest.raises(ConfigError, match="no adapter is active"):
        merge(model)
