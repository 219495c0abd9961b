"""Two models of lm-evaluation-harness over the shipped tasks, compared item by item."""

import math
from pathlib import Path

from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

import lavra.evaluation.benchmarks

SHIPPED = Path(lavra.evaluation.benchmarks.__file__).parent


def peer(folder, **settings):
    """The harness' own model."""
    return HFLM(pretrained=folder, dtype="float32", device="cpu", batch_size=1, **settings)


def samples_of(model, tasks, limit, **settings):
    """A model's answers to each item of each task, and the tasks' scores."""
    manager = TaskManager(include_path=str(SHIPPED), include_defaults=False)
    found = simple_evaluate(
        model=model, tasks=tasks, task_manager=manager, limit=limit, bootstrap_iters=0, log_samples=True, **settings
    )
    return found["samples"], found["results"]


def same(ours, theirs):
    """Equal within 1e-3 nats or 1e-4 of the value, with the same verdict on greedy decoding; texts exactly equal."""
    if isinstance(theirs, tuple | list):
        assert len(ours) == len(theirs)
        for mine, their in zip(ours, theirs, strict=True):
            same(mine, their)
    elif isinstance(theirs, float):
        assert math.isclose(ours, theirs, rel_tol=1e-4, abs_tol=1e-3)
    else:
        assert ours == theirs


def beside(mine, theirs, tasks, limit, **settings):
    """Compare each item's answers, and each score."""
    ours, our_results = samples_of(mine, tasks, limit, **settings)
    samples, their_results = samples_of(theirs, tasks, limit, **settings)
    for name in samples:
        assert len(ours[name]) == len(samples[name]) > 0
        for a, b in zip(ours[name], samples[name], strict=True):
            assert a["arguments"] == b["arguments"]
            same(a["resps"], b["resps"])
        assert our_results[name].keys() == their_results[name].keys()
        for metric, value in their_results[name].items():
            same(our_results[name][metric], value)
