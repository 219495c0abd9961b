"""Adapters, heads, finetuning and distillation on a GPU: the CPU's losses and tokens, and good final scores."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lavra
from lavra.adapt.inject import virtual_ids
from lavra.adapt.methods.bottleneck import BottleneckConfig
from lavra.adapt.methods.ia3 import IA3Config
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prefix import PrefixConfig
from lavra.adapt.methods.prompt import PromptConfig
from lavra.base.types import GenerateRequest
from lavra.generate.in_process import InProcessModel
from lavra.runs.distill import distill_folder
from lavra.runs.distill import prepare as prepare_lesson
from lavra.runs.distill_settings import DistillRunConfig
from lavra.runs.finetune import finetune, prepare
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.table import task_named
from lavra.train.loop import train
from lavra.train.objective import Objective, token_loss
from tests.adapt.test_adapted_training import Prompted, Watch, adapted, config
from tests.cuda.device import DEVICE, NEEDS_DEVICE, ON_CUDA
from tests.engine import adapted as tiny
from tests.runs.tasks import METHODS as ADAPTERS
from tests.runs.tasks import base_folder, rows, write
from tests.train.tiny import Ragged

pytestmark = NEEDS_DEVICE
STEPS, NEW = 12, 16
METHODS = {
    "lora": (LoraConfig(targets="all-linear"), None),
    "dora on int8": (LoraConfig(dora=True), "int8-dynamic"),
    "lora on int4": (LoraConfig(), "int4"),
    "ia3": (IA3Config(), None),
    "bottleneck": (BottleneckConfig(size=8), None),
    "prompt": (PromptConfig(num_tokens=4), None),
    "prefix on int8": (PrefixConfig(num_tokens=4), "int8"),
}


def quiet(*_):
    pass


def losses(name, device, precision="float32"):
    method, scheme = METHODS[name]
    model, watch = adapted(method, scheme), Watch()
    virtual = isinstance(method, PromptConfig | PrefixConfig)
    batches = Prompted(virtual_ids(model, "x"), batch_size=4, length=1) if virtual else Ragged(batch_size=4, length=1)
    settings = replace(config(STEPS), precision=precision)
    train(model.to(device), Objective(batches=batches, loss=token_loss), settings, hooks=[watch])
    return watch.losses


@pytest.mark.parametrize("name", METHODS)
def test_an_adapters_losses_are_those_of_the_cpu(name):
    assert losses(name, DEVICE) == pytest.approx(losses(name, "cpu"), rel=1e-4)


def test_an_adapters_losses_in_bf16_are_nearly_those():
    found = losses("lora", DEVICE, "bf16")
    assert found == pytest.approx(losses("lora", "cpu"), rel=0.02)


def test_many_adapters_at_once_write_what_each_writes_alone():
    here = tiny.adapted()
    there = InProcessModel(copy.deepcopy(here.model).to(DEVICE), here.config, here.tokenizer)
    draw = np.random.default_rng(0)
    asked = [
        GenerateRequest(prompt=tuple(draw.integers(20, 300, 9).tolist()), max_tokens=NEW, adapter=name)
        for name in [None, *tiny.CONFIGS, *tiny.CONFIGS]
    ]
    found = [one[0].tokens for one in tiny.engine_over(there).generate(asked)]
    expected = [tiny.written_alone(here, request) for request in asked]
    # Sums in another order may part a text where two tokens are as good as equal; most go on to the end.
    assert sum(one == other for one, other in zip(found, expected, strict=True)) >= len(asked) - 2
    assert [one[:2] for one in found] == [one[:2] for one in expected]


@pytest.mark.parametrize(
    ("kind", "family", "method"),
    [
        ("classify", "bert", "lora"),
        ("number", "bert", None),
        ("ner", "bert", None),
        ("qa", "bert", None),
        ("choice", "bert", "houlsby"),
        ("embed", "bert", None),
        ("rerank", "bert", None),
        ("chat", "llama", "lora"),
        ("chat", "llama", "prompt"),
        ("text2text", "t5", "prefix"),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_finetuning_runs_where_the_device_is(tmp_path, kind, family, method, precision):
    task = task_named("classify" if kind == "number" else kind)
    settings = FinetuneConfig(
        task=task,
        data=write(tmp_path / "data.jsonl", rows(kind)),
        method=ADAPTERS.get(method),
        batch_size=16,
        epochs=6.0,
        learning_rate=3e-3,
        heldout_fraction=0.2,
        precision=precision,
    )
    prepared = prepare(settings, base_folder(tmp_path / "base", family))
    assert next(prepared.recipe.module().parameters()).is_cuda == ON_CUDA
    result = finetune(prepared, tmp_path / "made", quiet)
    assert np.isfinite(result.after.value)
    assert result.after.to_minimise <= result.before.to_minimise


def test_a_head_made_on_the_device_answers_alike_on_the_cpu(tmp_path):
    settings = FinetuneConfig(task=CLASSIFY, data=write(tmp_path / "data.jsonl", rows("classify")), epochs=4.0)
    finetune(prepare(settings, base_folder(tmp_path / "base")), tmp_path / "made", quiet)
    texts = [row["text"] for row in rows("classify", 8, seed=3)]
    there, here = (lavra.load(tmp_path / "made", device=str(device)).classify(texts) for device in (DEVICE, "cpu"))
    for one, other in zip(there, here, strict=True):
        assert one.label == other.label
        assert one.scores == pytest.approx(other.scores, abs=1e-4)


def test_a_student_is_taught_on_the_device(tmp_path):
    data = write(tmp_path / "data.jsonl", rows("classify"))
    settings = FinetuneConfig(task=CLASSIFY, data=data, epochs=4.0, learning_rate=3e-3)
    teacher = tmp_path / "teacher"
    finetune(prepare(settings, base_folder(tmp_path / "base")), teacher, quiet)
    asked = DistillRunConfig(task=CLASSIFY, data=data, layers=1, hidden=0.5, epochs=4.0, learning_rate=3e-3)
    training_task = prepare_lesson(asked, teacher)
    metrics = distill_folder(training_task, Path(tmp_path / "student"), quiet).metrics()
    assert metrics["student_parameters"] < metrics["teacher_parameters"]
    assert metrics["student"]["accuracy"] > metrics["majority"]
