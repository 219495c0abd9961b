"""lavra inside lm-evaluation-harness, item by item beside its own `hf` model: the shipped tasks on their real rows."""

import math
import os
from pathlib import Path

import pytest

import lavra.evaluation.benchmarks
from lavra import load
from lavra.base.errors import ConfigError
from tests.model.smollm2 import FILE, needs_smollm2

pytest.importorskip("lm_eval", reason="lm-eval is not installed")
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from lavra.integrations.lm_eval import HarnessModel

SHIPPED = Path(lavra.evaluation.benchmarks.__file__).parent
TASKS = [  # all four output types; with shots, with contexts that differ instead of choices
    "arc_easy",
    "piqa",
    "openbookqa",
    "winogrande",
    "social_iqa",
    "mmlu_astronomy",
    "lambada_openai",
    "wikitext",
    "triviaqa",
    "gsm8k",
]
FEW = 3


@pytest.fixture(scope="module")
def stories(lavra_data):
    return str(lavra_data / "weights" / "stories260K" / "hf")


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smollm2")
    load(str(FILE), dtype="float32").save(folder)
    return str(folder)


@pytest.fixture
def here(lavra_data, monkeypatch):
    """The harness finds the rows of shipped tasks from the data's root."""
    monkeypatch.chdir(lavra_data)
    monkeypatch.setitem(os.environ, "HF_DATASETS_OFFLINE", "1")
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")


def samples_of(model, tasks, limit, **settings):
    """What a model answered to each item of each task, and the tasks' scores."""
    manager = TaskManager(include_path=str(SHIPPED), include_defaults=False)
    found = simple_evaluate(
        model=model, tasks=tasks, task_manager=manager, limit=limit, bootstrap_iters=0, log_samples=True, **settings
    )
    return found["samples"], found["results"]


def same(ours, theirs):
    """1e-3 nats or 1e-4 of the value, and the same verdict on greedy decoding; texts to the letter."""
    if isinstance(theirs, tuple | list):
        assert len(ours) == len(theirs)
        for mine, their in zip(ours, theirs, strict=True):
            same(mine, their)
    elif isinstance(theirs, float):
        assert math.isclose(ours, theirs, rel_tol=1e-4, abs_tol=1e-3)
    else:
        assert ours == theirs


def compare(folder, tasks, limit, **settings):
    peer = HFLM(pretrained=folder, dtype="float32", device="cpu", batch_size=1)
    mine = HarnessModel(folder, dtype="float32", device="cpu")
    ours, our_results = samples_of(mine, tasks, limit, **settings)
    theirs, their_results = samples_of(peer, tasks, limit, **settings)
    for name in theirs:
        assert len(ours[name]) == len(theirs[name]) > 0
        for a, b in zip(ours[name], theirs[name], strict=True):
            assert a["arguments"] == b["arguments"]
            same(a["resps"], b["resps"])
        assert our_results[name].keys() == their_results[name].keys()
        for metric, value in their_results[name].items():
            same(our_results[name][metric], value)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("task", TASKS)
def test_each_item_is_what_the_harness_finds_on_a_model_that_begins_with_a_token(stories, task):
    compare(stories, [task], FEW)


@needs_smollm2
@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("task", [task for task in TASKS if task not in ("gsm8k", "wikitext")])
def test_each_item_is_what_the_harness_finds_on_a_real_model(smollm2, task):
    compare(smollm2, [task], 1)


@needs_smollm2
@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("here")
def test_a_chat_template_is_the_models_own(smollm2):
    compare(smollm2, ["arc_easy", "triviaqa"], 1, apply_chat_template=True)


@pytest.mark.data
def test_it_is_registered_and_refuses_what_it_cannot_do(stories):
    assert get_model("lavra") is HarnessModel
    with pytest.raises(ConfigError, match="max_length=9999 is over"):
        HarnessModel(stories, max_length=9999)
    model = HarnessModel(stories, max_length=40)
    request = Instance(
        request_type="generate_until", doc={}, arguments=("Once", {"until": ["."], "num_beams": 3}), idx=0
    )
    with pytest.raises(ConfigError, match="num_beams"):
        model.generate_until([request])
    assert model.tok_encode("<s>Once") == model.tok_encode("Once")
