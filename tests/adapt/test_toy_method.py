"""A user's own method in one file: it trains, merges, is saved and opened, and `lavra finetune` accepts it."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

import lavra
from lavra.adapt.config import AdapterConfig
from lavra.adapt.inject import adapter_modules, add_adapter, count_parameters
from lavra.adapt.layers import matching
from lavra.adapt.linear import LinearAdapter, device_of, sizes
from lavra.adapt.merge import merge
from lavra.adapt.methods import table
from lavra.adapt.methods.lora import LORA, LoraConfig
from lavra.adapt.methods.method import AdapterMethod
from lavra.adapt.peft_read import load_adapter
from lavra.adapt.peft_write import save_adapter
from lavra.base.card import read_card
from lavra.base.errors import CheckpointError, ConfigError
from lavra.cli.main import main
from tests.adapt.peers import randomize
from tests.adapt.test_inject import run, tiny
from tests.runs.tasks import base_folder, rows, write


@dataclass(frozen=True, kw_only=True)
class ShiftConfig(AdapterConfig):
    """Learned shifts of the outputs of layers.

    Attributes:
        layers: endings of the layers' names.
        reach: factor of the shifts.
    """

    layers: tuple[str, ...] = ("output", "down")
    reach: float = 1.0

    def __post_init__(self) -> None:
        if not self.reach > 0:
            raise ConfigError(f"reach is {self.reach}; give more than 0")


class Shift(LinearAdapter):
    def __init__(self, base, reach):
        super().__init__()
        self.reach = reach
        self.shift = nn.Parameter(torch.zeros(sizes(base)[0], device=device_of(base)))

    def apply_to(self, x, y, base):
        return y + (self.reach * self.shift).to(y.dtype)

    def fold(self, weight, bias, base):
        shift = self.reach * self.shift
        return weight, shift if bias is None else bias + shift


def shifts(config, layers, names):
    return {name: Shift(layers[name], config.reach) for name in matching(names, config.layers)}


SHIFT = AdapterMethod(
    name="shift",
    starts={"shift": ShiftConfig(), "far": ShiftConfig(reach=4.0)},
    learning_rate=2e-2,
    on_layers=shifts,
)


@pytest.fixture(scope="module", autouse=True)
def added():
    table.add_adapter_method(SHIFT)
    yield
    del table._TABLE["shift"]


@pytest.fixture
def finetuned(tmp_path):
    """Run `lavra finetune` with these arguments; returns the model and the settings in its card."""

    def made(*arguments):
        base, data = base_folder(tmp_path / "base"), write(tmp_path / "data.jsonl", rows("classify"))
        command = ["finetune", str(base), "--task", "classify", "--data", str(data), "--out", str(tmp_path / "made")]
        assert main([*command, "--batch-size", "16", "--json", *arguments]) == 0
        return tmp_path / "made", read_card(tmp_path / "made")

    return made


@torch.no_grad()
def test_it_computes_what_it_says_and_merges():
    model = tiny("bert").eval()
    plain = run(model)
    add_adapter(model, "x", ShiftConfig(layers=("feed_forward.down",), reach=2.0))
    assert count_parameters(model).trainable == 2 * 32
    assert torch.equal(run(model), plain)
    randomize(model)
    adapted = run(model)
    hooked = tiny("bert").eval()  # the naive way: the shifts in hooks of a model without adapters
    for place, part in adapter_modules(model, "x").items():
        shift = 2.0 * part.shift
        hooked.get_submodule(place).register_forward_hook(lambda module, given, y, shift=shift: y + shift)
    assert (run(hooked) - adapted).abs().max() < 1e-5
    assert (adapted - plain).abs().max() > 0.01
    merge(model, "x")
    assert (run(model) - adapted).abs().max() < 1e-5


@torch.no_grad()
def test_it_is_saved_in_the_form_of_methods_that_peft_lacks(tmp_path):
    model = tiny().eval()
    add_adapter(model, "x", ShiftConfig(layers=("down",), reach=2.0))
    randomize(model)
    save_adapter(model, "x", tmp_path)
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (settings["peft_type"], settings["layers"], settings["reach"]) == ("LAVRA_SHIFT", ["down"], 2.0)
    again = tiny().eval()
    load_adapter(again, tmp_path, "y")
    assert torch.equal(run(again), run(model))
    (tmp_path / "adapter_config.json").write_text(json.dumps({**settings, "reach": -1}))
    with pytest.raises(CheckpointError, match=r"reach is -1.0; give more than 0"):
        load_adapter(tiny(), tmp_path)


def test_the_command_line_takes_its_word_and_its_settings(finetuned, capsys):
    folder, card = finetuned("--method", "far", "--method.layers", "down", "--epochs", "5")
    assert card.kind == "adapter"
    assert card.config["method"] == {"name": "far", "layers": ["down"]}
    after = card.metrics["after"]["accuracy"]
    assert after > max(0.7, card.metrics["before"]["accuracy"])
    parameters = json.loads(capsys.readouterr().out)["parameters"]
    assert parameters["trainable"] < 0.2 * parameters["total"]
    assert lavra.load(folder).classify("the film was lovely").label in ("yes", "no")


def test_its_settings_are_refused_like_any(capsys):
    typed = ["finetune", "m", "--task", "classify", "--data", "x"]
    for arguments, says in (
        (["--method", "shift", "--method.reach", "0"], "--method.reach is 0.0; give more than 0"),
        (
            ["--method", "shift", "--rank", "4"],
            "--rank is 4: it is a setting of lora and dora, and --method is 'shift'",
        ),
        (["--method", "lora", "--method.reach", "2"], "--method.reach: it is a setting of shift and far"),
    ):
        assert main([*typed, *arguments]) == 2
        assert says in capsys.readouterr().err


def test_words_and_classes_that_are_taken_are_refused():
    with pytest.raises(ConfigError, match="there is a method 'lora' already"):
        table.add_adapter_method(replace(SHIFT, name="other", starts={"lora": ShiftConfig()}))
    with pytest.raises(ConfigError, match="there is a method 'full' already"):
        table.add_adapter_method(replace(SHIFT, name="other", starts={"full": ShiftConfig()}))
    with pytest.raises(ConfigError, match="LoraConfig is the class of 'lora'"):
        table.add_adapter_method(replace(LORA, name="other", starts={"other": LoraConfig()}))


def test_a_configuration_without_a_method_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Unknown(AdapterConfig):
        pass

    with pytest.raises(ConfigError, match="Unknown is the configuration of no method"):
        add_adapter(tiny(), "x", Unknown())


@torch.no_grad()
def test_the_example_of_the_page_is_a_method(monkeypatch):
    """The code of docs/adapters.md, unchanged."""
    monkeypatch.delitem(table._TABLE, "shift")  # restored after the test
    page = (Path(__file__).resolve().parents[2] / "docs" / "adapters.md").read_text(encoding="utf-8")
    (example,) = (
        block for block in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if "AdapterMethod(" in block
    )
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # dataclasses look their module up
    exec(compile(example, "adapters.md", "exec"), module.__dict__)
    model = tiny("bert").eval()
    add_adapter(model, "x", module.ShiftConfig(layers=("down",)))
    randomize(model)
    adapted = run(model)
    assert (adapted - run(tiny("bert").eval())).abs().max() > 0.01
    merge(model, "x")
    assert (run(model) - adapted).abs().max() < 1e-5
    assert table.method_word(module.ShiftConfig()) == "shift"
