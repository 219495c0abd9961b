"""Injection of adapters: wrapped modules, trained parameters, activation by row or for all rows, and removal."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lavra.adapt.inject import (
    activate,
    activate_rows,
    activated,
    adapter_modules,
    adapters_of,
    add_adapter,
    count_parameters,
    eject,
    remove_adapter,
    train_only,
)
from lavra.adapt.methods.bottleneck import BottleneckConfig
from lavra.adapt.methods.ia3 import IA3Config
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prompt import PromptConfig
from lavra.base.errors import ConfigError, InputError
from lavra.base.tasks import HeadKind
from lavra.model.build import build_model
from lavra.model.families.table import preset
from lavra.model.heads import add_task_head
from lavra.model.task_config import TaskConfig
from tests.adapt.peers import randomize

CONFIGS = {
    "lora": LoraConfig(rank=3, targets="all-linear"),
    "dora": LoraConfig(rank=2, dora=True, targets=("key", "up")),
    "ia3": IA3Config(),
    "houlsby": BottleneckConfig.houlsby(5),
    "pfeiffer": BottleneckConfig.pfeiffer(4),
}
FAMILIES = ["llama", "gpt2", "falcon", "bert", "t5"]


def tiny(family="llama", seed=0):
    torch.manual_seed(seed)
    return build_model(preset(family, vocab_size=50, hidden_size=32, num_layers=2, num_heads=4, max_positions=64))


def run(model, batch=4, time=6):
    ids = torch.arange(batch * time).view(batch, time) % 50
    return model(ids, ids[:, :4]) if model.config.family == "t5" else model(ids)


def shape_of(model):
    """Everything that adapters could leave behind in a model."""
    modules = {name: (id(module), type(module)) for name, module in model.named_modules()}
    parameters = {name: (id(one), one.requires_grad, one._version) for name, one in model.named_parameters()}
    return modules, parameters


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_fresh_adapter_changes_nothing_and_ejecting_leaves_the_very_same_model(kind, family):
    model = tiny(family)
    model.requires_grad_(True)
    model.embedding.token.weight.requires_grad_(False)
    before, plain = shape_of(model), run(model)
    add_adapter(model, "x", CONFIGS[kind])
    add_adapter(model, "p", PromptConfig(num_tokens=2))
    activate(model, "x", "p")
    assert (run(model) - plain).abs().max() < 1e-5
    assert all(one.dtype == torch.float32 for part in adapter_modules(model, "x").values() for one in part.parameters())
    eject(model)
    assert shape_of(model) == before
    with pytest.raises(InputError, match="no adapters"):
        adapters_of(model)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", CONFIGS)
def test_gradients_reach_the_adapter_alone_and_a_step_leaves_the_base(kind, family):
    model = tiny(family)
    base = copy.deepcopy(model.state_dict())
    add_adapter(model, "other", LoraConfig())
    add_adapter(model, "x", CONFIGS[kind])
    randomize(model)
    trainable = {name for name, one in model.named_parameters() if one.requires_grad}
    assert trainable
    assert all(".adapters.x." in name for name in trainable)
    run(model).square().mean().backward()
    with_gradient = {name for name, one in model.named_parameters() if one.grad is not None and bool(one.grad.any())}
    assert with_gradient == trainable
    torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=1.0).step()
    eject(model)
    assert all(torch.equal(one, base[name]) for name, one in model.state_dict().items())


def test_adapters_are_switched_and_stacked():
    model = tiny().eval()
    plain = run(model)
    for name in ("a", "b"):
        add_adapter(model, name, LoraConfig(rank=2, targets=("query",)))
        randomize(model)
        for part in adapter_modules(model, name).values():
            part.b.data *= 1.0 if name == "a" else -0.5
    outs = {}
    for names in ((), ("a",), ("b",), ("a", "b"), ("b", "a")):
        activate(model, *names)
        outs[names] = run(model)
    assert torch.equal(outs[()], plain)
    assert (outs["a", "b"] - outs["b", "a"]).abs().max() < 1e-5
    for first, second in ((("a",), ("b",)), (("a",), ("a", "b")), (("b",), ("a", "b"))):
        assert (outs[first] - outs[second]).abs().max() > 1e-3
    layer = model.get_submodule("decoder.blocks.0.attention.query")
    x = torch.randn(3, 5, 32)
    activate(model, "a", "b")
    deltas = [part.scale * x @ part.a.T @ part.b.T for part in layer.adapters.values()]
    assert (layer(x) - layer.base(x) - sum(deltas)).abs().max() < 1e-5
    with activated(model, "b"):
        assert torch.equal(run(model), outs["b",])
    assert adapters_of(model).selections[0].names == ("a", "b")


@pytest.fixture(scope="module")
def adapted():
    model = tiny("llama").eval()
    for name, config in CONFIGS.items():
        add_adapter(model, name, config)
        randomize(model)
    return model


@given(st.lists(st.lists(st.sampled_from(sorted(CONFIGS)), max_size=3, unique=True), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_by_rows_equals_row_by_row(adapted, groups):
    """Each row has its own adapters, in a shuffled order; one more row has none."""
    batch, time = len(groups) + 1, 5
    ids = torch.arange(batch * time).view(batch, time) % 50
    order = list(range(batch))[::-1][: len(groups)]
    with torch.no_grad():
        with activated(adapted, rows=[(names, [row]) for names, row in zip(groups, order, strict=True)]):
            together = adapted(ids)
        for row in range(batch):
            names = groups[order.index(row)] if row in order else []
            with activated(adapted, *names):
                alone = adapted(ids[row : row + 1])
            assert (together[row] - alone[0]).abs().max() < 1e-4


def test_rows_may_be_a_stretch_and_gradients_pass_by_rows():
    model = tiny()
    for name in ("a", "b"):
        add_adapter(model, name, LoraConfig(rank=2))
        randomize(model)
    train_only(model, "a", "b")
    activate_rows(model, [(("a",), slice(0, 2)), (("b",), torch.tensor([3]))])
    out = run(model)
    out[2].sum().backward(retain_graph=True) if out[2].requires_grad else None
    assert all(not bool(one.grad.any()) for one in model.parameters() if one.grad is not None)
    out[3].sum().backward()
    touched = {
        name.split(".adapters.")[1][0]
        for name, one in model.named_parameters()
        if one.grad is not None and one.grad.any()
    }
    assert touched == {"b"}


def test_unselectable_layers_are_refused():
    model = tiny()
    add_adapter(model, "first", LoraConfig())
    with pytest.raises(InputError, match="did you mean 'first'"):
        activate(model, "frist")
    with pytest.raises(InputError, match="named twice"):
        activate(model, "first", "first")
    with pytest.raises(InputError, match=r"rows \[1\] are in two groups"):
        activate_rows(model, [(("first",), [0, 1]), ((), [1])])
    with pytest.raises(InputError, match="no end, or a negative one"):
        activate_rows(model, [(("first",), slice(1, None))])
    with pytest.raises(InputError, match="row numbers count from 0"):
        activate_rows(model, [(("first",), [-1])])
    with pytest.raises(InputError, match="two ways"), activated(model, "first", rows=[]):
        pass


def test_which_layers_patterns_name():
    def places(family, **config):
        model = tiny(family)
        add_adapter(model, "x", LoraConfig(**config))
        return sorted(place.replace("decoder.blocks.0.", "") for place in adapter_modules(model, "x") if ".0." in place)

    qkv = ["attention.key", "attention.query", "attention.value"]
    assert places("llama", targets=("q_proj", "k_proj", "v_proj")) == qkv
    assert places("gpt2", targets=("c_attn",)) == qkv
    assert places("falcon", targets=("query_key_value",)) == qkv
    assert places("gpt2", targets=("attn.c_proj",)) == ["attention.output"]
    assert places("llama", targets=r".*\.(query|k_proj)") == qkv[:2]
    assert places("llama", targets=("query", "key"), exclude=("key",)) == ["attention.query"]
    assert places("llama", targets="all-linear") == [
        *qkv[:1],
        "attention.output",
        *qkv[1:],
        *(f"feed_forward.{one}" for one in ("down", "gate", "up")),
    ]
    with pytest.raises(ConfigError, match=r"'q_porj'; did you mean 'q_proj'"):
        places("llama", targets=("q_porj",))
    with pytest.raises(ConfigError, match="exclude fewer"):
        places("llama", targets=("query",), exclude=("query",))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"dropout": 1.0}, r"dropout is 1.0; it must be in \[0, 1\)"),
        ({"targets": ()}, "name at least one layer"),
        ({"targets": "("}, "not a regular expression"),
        ({"rank_pattern": {"query": 0}}, "query is 0"),
        ({"alpha_pattern": {"(": 1.0}}, "not a regular expression"),
        ({"modules_to_save": ("nothing",)}, "0 modules are named 'nothing'"),
        ({"modules_to_save": ("head",)}, "embeddings or logits"),
        ({"modules_to_save": ("embedding.token",)}, "embeddings or logits"),
    ],
)
def test_settings_that_are_refused(settings, said):
    model = tiny()
    before = shape_of(model)
    with pytest.raises(ConfigError, match=said):
        add_adapter(model, "x", LoraConfig(**settings))
    assert shape_of(model) == before


@pytest.mark.parametrize("name", ["", "a.b", "keys", "a b"])
def test_names_that_are_refused(name):
    with pytest.raises(ConfigError, match="cannot name an adapter"):
        add_adapter(tiny(), name, LoraConfig())


def test_a_model_without_a_transformer_is_refused():
    with pytest.raises(InputError, match="holds no Transformer"):
        add_adapter(nn.Linear(2, 2), "x", LoraConfig())


def test_a_removed_adapter_is_gone_and_others_stay():
    model = tiny().eval()
    before = shape_of(model)
    add_adapter(model, "a", LoraConfig(targets=("query",)))
    randomize(model)
    alone = run(model)
    add_adapter(model, "b", LoraConfig(targets=("query", "down")))
    activate(model, "a", "b")
    remove_adapter(model, "b")
    assert torch.equal(run(model), alone)
    assert isinstance(model.get_submodule("decoder.blocks.0.feed_forward.down"), nn.Linear)
    remove_adapter(model, "a")
    assert shape_of(model) == before


def test_the_count_is_that_of_the_parameters():
    model = tiny()
    total = count_parameters(model).total
    add_adapter(model, "x", LoraConfig(rank=4, targets=("query",)))
    counts = count_parameters(model)
    assert counts.trainable == 2 * 4 * (32 + 32)
    assert counts.total == total + counts.trainable
    assert str(counts) == f"{counts.trainable:,} of {counts.total:,} parameters train ({counts.share:.2%})"


def test_a_tasks_head_is_trained_whole_beside_the_adapter():
    model = add_task_head(tiny("bert"), TaskConfig.of(HeadKind.SEQUENCE, ("no", "yes"))).eval()
    before, ids = shape_of(model), torch.arange(12).view(3, 4)
    plain = model(ids)
    for name in ("a", "b"):
        add_adapter(model, name, LoraConfig(modules_to_save=("head",)))
        assert (model(ids) - plain).abs().max() < 1e-6
        assert {one.split(".")[0] for one, parameter in model.named_parameters() if parameter.requires_grad} == {
            "backbone",
            "head",
        }
        randomize(model)
    outs = {}
    for name in ("a", "b"):
        with activated(model, name):
            outs[name] = model(ids)
    with activated(model, rows=[(("a",), [0]), (("b",), [2])]):
        together = model(ids)
    for row, expected in enumerate((outs["a"], plain, outs["b"])):
        assert (together[row] - expected[row]).abs().max() < 1e-5
    with pytest.raises(InputError, match="only one can act"), activated(model, "a", "b"):
        model(ids)
    eject(model)
    assert shape_of(model) == before


def test_an_adapted_model_can_be_copied():
    model = tiny().eval()
    add_adapter(model, "x", LoraConfig(rank=2, dora=True))
    randomize(model)
    twin, out = copy.deepcopy(model), run(model)
    activate(model)
    assert torch.equal(run(twin), out)
    eject(twin)
    assert torch.equal(run(twin), run(model))
