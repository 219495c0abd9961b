"""The method of a finetuning run as a setting: flags and YAML of every version, one configuration, stable hashes."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import pytest

from lavra.adapt.config import ALL_LINEAR
from lavra.adapt.methods.bottleneck import After, BottleneckConfig
from lavra.adapt.methods.ia3 import IA3Config
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prefix import PrefixConfig
from lavra.adapt.methods.prompt import PromptConfig
from lavra.adapt.methods.table import adapter_methods, method_starts, method_word
from lavra.base.config import add_flags, from_flags, from_mapping, load_yaml, to_mapping
from lavra.base.errors import ConfigError
from lavra.base.files import hash_json
from lavra.base.lazy import resolve
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.settings import FinetuneConfig
from tests.runs.tasks import METHODS

# Flags, the configuration they ask for, and the hash that `hash_json(to_mapping(...))` gave when a run still had one
# field for each setting of any method.
RECORDED = [
    ("", None, "94d46954519d416b"),
    ("--method full --no-rslora", None, "94d46954519d416b"),
    ("--method lora", LoraConfig(), "228813616d12c714"),
    (
        "--method lora --rank 3 --alpha 5 --dropout 0.1 --targets q_proj v_proj --rslora",
        LoraConfig(rank=3, alpha=5.0, dropout=0.1, targets=("q_proj", "v_proj"), rslora=True),
        "06b8a467a50ff607",
    ),
    ("--method lora --targets all-linear", LoraConfig(targets=("all-linear",)), "fde74d2bf1830c86"),
    ("--method dora --rank 16", LoraConfig(rank=16, dora=True), "b515796fd66b5735"),
    ("--method ia3", IA3Config(), "4223610ba65f219d"),
    ("--method ia3 --targets key", IA3Config(targets=("key",)), "d1ad5b7f8d30dde9"),
    ("--method houlsby --bottleneck 8", BottleneckConfig.houlsby(8), "a39f6581eceba2d7"),
    ("--method pfeiffer", BottleneckConfig.pfeiffer(), "475cd82872a5cdfd"),
    ("--method pfeiffer --bottleneck 12", BottleneckConfig.pfeiffer(12), "cf4449c66fe71a9e"),
    (
        "--method prompt --virtual-tokens 5 --prompt-text 'is it good'",
        PromptConfig(num_tokens=5, text="is it good"),
        "b48ec60f33d74c80",
    ),
    ("--method prompt", PromptConfig(), "0cc597db4d1c3d6e"),
    ("--method prefix --virtual-tokens 2", PrefixConfig(num_tokens=2), "5b0bef1e574de93a"),
]


def settings(typed: str) -> FinetuneConfig:
    parser = argparse.ArgumentParser()
    add_flags(parser, FinetuneConfig)
    return from_flags(FinetuneConfig, parser.parse_args(["--task", "classify", "--data", "x.csv", *shlex.split(typed)]))


@pytest.mark.parametrize(("typed", "method", "recorded"), RECORDED)
def test_todays_flags_make_one_configuration_and_the_hash_of_old(typed, method, recorded):
    config = settings(typed)
    assert config.method == method
    assert hash_json(to_mapping(config)) == recorded
    assert from_mapping(FinetuneConfig, to_mapping(config)) == config
    python = FinetuneConfig(task=CLASSIFY, data=Path("x.csv"), method=method)
    assert to_mapping(python) == to_mapping(config)


@pytest.mark.parametrize(
    ("typed", "method"),
    [
        ("--method lora --rank 4 --method.exclude head query", LoraConfig(rank=4, exclude=("head", "query"))),
        ("--method lora --method.dora", LoraConfig(dora=True)),
        ("--method ia3 --method.feed-forward up", IA3Config(feed_forward=("up",))),
        ("--method houlsby --method.after attention", BottleneckConfig(after=(After.ATTENTION,))),
        ("--method prefix --method.init-std 0.1", PrefixConfig(init_std=0.1)),
    ],
)
def test_settings_that_had_no_flag_have_one(typed, method):
    config = settings(typed)
    assert config.method == method
    assert from_mapping(FinetuneConfig, to_mapping(config)) == config
    assert hash_json(to_mapping(config)) not in {recorded for _, _, recorded in RECORDED}


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("method: lora\nrank: 4\n", LoraConfig(rank=4)),
        ("method: {name: lora, rank: 4}\n", LoraConfig(rank=4)),
        ("method: {name: lora, rank_pattern: {query: 2}}\nrank: 4\n", LoraConfig(rank=4, rank_pattern={"query": 2})),
        ("method: {name: lora, targets: all-linear}\n", LoraConfig()),
        ("method: {name: pfeiffer, size: 8, activation: relu}\n", None),
        ("method: full\n", None),
    ],
)
def test_yaml_of_every_age_is_read(tmp_path, text, method):
    file = tmp_path / "run.yaml"
    file.write_text(f"task: classify\ndata: x.csv\n{text}")
    config = load_yaml(FinetuneConfig, file)
    if "pfeiffer" in text:
        assert method_word(config.method) == "pfeiffer"
        assert config.method.size == 8
    else:
        assert config.method == method
    assert from_mapping(FinetuneConfig, to_mapping(config)) == config


def test_a_word_is_no_configuration():
    with pytest.raises(ConfigError, match=r"method is 'lora'; give the settings of an adapter, such as LoraConfig"):
        FinetuneConfig(task=CLASSIFY, data=Path("x.csv"), method="lora")


def test_the_usual_rate_is_the_methods_own():
    rates = {word: FinetuneConfig(task=CLASSIFY, data=Path("x"), method=one).peak for word, one in METHODS.items()}
    assert rates == {
        "lora": 1e-3, "dora": 1e-3, "ia3": 1e-2, "houlsby": 1e-3, "pfeiffer": 1e-3, "prompt": 3e-2, "prefix": 1e-2,
    }  # fmt: skip
    assert FinetuneConfig(task=CLASSIFY, data=Path("x")).peak == CLASSIFY.learning_rate
    assert FinetuneConfig(task=CLASSIFY, data=Path("x"), method=LoraConfig(), learning_rate=7.0).peak == 7.0


def test_every_method_has_its_parts():
    words = [word for method in adapter_methods() for word in method.starts]
    assert set(words) == set(METHODS) == set(method_starts()) - {"full"}
    assert len(set(words)) == len(words)
    for method in adapter_methods():
        given = [method.on_layers, method.in_front, *([method.peft.read, method.peft.write] if method.peft else [])]
        found = [resolve(reference) for reference in given if reference is not None]
        assert all(callable(one) for one in found)
        assert (method.on_layers is None) != (method.in_front is None)
        for word, start in method.starts.items():
            assert type(start) is method.config
            assert method_word(start) == word


def test_alpha_is_twice_the_rank_unless_given():
    assert LoraConfig(rank=4).scale_of(["query"], 4) == 2.0
    assert LoraConfig(rank=4, rslora=True).scale_of(["query"], 4) == 4.0
    assert LoraConfig(rank=4, alpha=2.0).scale_of(["query"], 4) == 0.5
    assert LoraConfig(rank=4, alpha_pattern={"key": 12.0}).scale_of(["key"], 4) == 3.0
    assert LoraConfig().targets == ALL_LINEAR


def test_a_runs_own_modules_are_saved_beside_those_of_the_task():
    method = LoraConfig(modules_to_save=("pooler", "extra"))
    config = FinetuneConfig(task=CLASSIFY, data=Path("x"), method=method)
    assert config.adapter(None, whole=("head", "pooler")).modules_to_save == ("head", "pooler", "extra")
