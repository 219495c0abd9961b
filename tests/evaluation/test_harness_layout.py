"""Results in lm-evaluation-harness' layout: both run the same task files on a model with the same answers."""

from __future__ import annotations

import json
import math

import pytest
import yaml

from lavra.evaluation.layouts import harness_layout, markdown_table, sample_lines
from lavra.evaluation.run import EvaluationSettings, ModelIdentity, evaluate
from lavra.evaluation.task_files.opening import open_tasks
from tests.evaluation.toy import CHOICES, ROLLING, WRITING, ToyScorer, logprob, rows, share, write_task

pytestmark = pytest.mark.slow

TARGET = {
    "output_type": "loglikelihood",
    "doc_to_text": "{{q}}",
    "doc_to_target": " {{choices[0]}}",
    "metric_list": [{"metric": "perplexity"}, {"metric": "acc"}],
}
NUMBER = 12


def harness_model():
    """The toy model as a model of lm-evaluation-harness."""
    from lm_eval.api.model import LM

    def is_greedy(context, continuation):
        return all(-3 * share(context + continuation[: end + 1]) - 0.01 > -1.5 for end in range(len(continuation)))

    class Toy(LM):
        def loglikelihood(self, requests):
            return [(logprob(*one.args), is_greedy(*one.args)) for one in requests]

        def loglikelihood_rolling(self, requests):
            return [logprob("", one.args[0]) for one in requests]

        def generate_until(self, requests):
            return [f" {int(share(one.args[0]) * 4)}" for one in requests]

    return Toy()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Results of lavra and of the harness, and lavra's item scores by task."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISABLE_MULTIPROC", "1")
        yield run_both(tmp_path_factory.mktemp("tasks"))


def run_both(folder):
    """Run the harness first, then lavra."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    fields = {"choosing": CHOICES, "writing": WRITING, "reading": ROLLING, "one_target": TARGET}
    sizes = {"other": 5, "choosing": 40}
    plain = {**CHOICES, "metric_list": CHOICES["metric_list"][:2]}
    shots = {**plain, "num_fewshot": 2, "fewshot_split": "test"}
    for name, one in {**fields, "other": shots, "third": plain, "fourth": plain}.items():
        write_task(folder, name, one, rows(sizes.get(name, 20)))
    for name, members, weighted in (
        ("weighted", ["choosing", "other"], True),
        (
            "plain",
            ["third", {"group": "inner", "task": ["fourth"], "aggregate_metric_list": [{"metric": "acc"}]}],
            False,
        ),
    ):
        group = {
            "group": name,
            "task": members,
            "aggregate_metric_list": [{"metric": "acc", "weight_by_size": weighted}],
            "metadata": {"version": 2.0},
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(group), encoding="utf-8")
    names = ["weighted", "plain", "writing", "reading", "one_target"]
    theirs = simple_evaluate(
        harness_model(),
        tasks=names,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        limit=NUMBER,
        bootstrap_iters=1000,
        log_samples=True,
    )
    opened = open_tasks(names, folders=[folder], with_shipped=False)
    scores = {task.name: [] for task in opened.tasks}
    result = evaluate(
        ToyScorer(),
        opened.tasks,
        EvaluationSettings(limit=NUMBER),
        identity=ModelIdentity(name="toy", hash="t"),
        groups=opened.groups,
        sink=lambda one: scores[one.item.task].append(one),
    )
    return json.loads(json.dumps(harness_layout(result))), theirs, scores, result


def test_all_scores_and_standard_errors_are_the_same(both):
    ours, theirs, _, _ = both
    assert ours["results"].keys() == theirs["results"].keys()
    for task, expected in theirs["results"].items():
        assert ours["results"][task].keys() == expected.keys(), task
        for name, value in expected.items():
            drawn = "_stderr" in name and not name.startswith("acc")  # a bootstrap of other draws
            if isinstance(value, float):
                wanted = pytest.approx(value, rel=0.15 if drawn else 1e-9)
                assert ours["results"][task][name] == wanted, (task, name)
            elif value != "N/A":  # where the harness has no standard error, ours has the bootstrap's
                assert ours["results"][task][name] == value, (task, name)
    assert ours["groups"].keys() == theirs["groups"].keys()


@pytest.mark.parametrize("key", ["group_subtasks", "versions", "n-shot", "higher_is_better", "n-samples"])
def test_fields_beside_the_scores_are_the_same(both, key):
    assert both[0][key] == both[1][key]


def test_settings_of_task_files_are_under_the_same_keys(both):
    ours, theirs, _, _ = both
    for task, expected in theirs["configs"].items():
        same = expected.keys() & ours["configs"][task].keys()
        assert {"task", "output_type", "doc_to_text", "num_fewshot", "metadata", "repeats"} <= same
        for key in ("doc_to_text", "doc_to_target", "output_type", "num_fewshot", "test_split"):
            assert ours["configs"][task][key] == expected[key], (task, key)
        named = [one["metric"] for one in expected.get("metric_list", ours["configs"][task]["metric_list"])]
        assert [one["metric"] for one in ours["configs"][task]["metric_list"]] == named


@pytest.mark.parametrize("task", ["choosing", "other", "writing", "reading", "one_target"])
def test_samples_have_the_same_keys_and_values(both, task):
    _, theirs, scores, _ = both
    ours, expected = sample_lines(scores[task]), theirs["samples"][task]
    assert len(ours) == len(expected)
    for mine, other in zip(ours, expected, strict=True):
        assert mine.keys() == other.keys()
        for key in ("doc_id", "doc", "filter", "doc_hash", "prompt_hash"):
            assert mine[key] == other[key], key
        assert sorted(mine["metrics"]) == sorted(other["metrics"])
        for name in mine["metrics"]:
            assert mine[name] == (pytest.approx(other[name]) if isinstance(other[name], float) else other[name]), name
        assert [next(iter(one.values())) for one in mine["arguments"].values()] == [
            one[0] for one in other["arguments"]
        ]


def test_markdown_names_every_score(both):
    text = markdown_table(both[3])
    assert "| choosing | 1.0 | none | 0 | acc | ↑ |" in text
    assert text.count("\n| ") == 2 + sum(len(one.metrics) for one in (*both[3].tasks, *both[3].groups))


def test_no_number_is_nan(both):
    def numbers(value):
        if isinstance(value, dict):
            return [one for each in value.values() for one in numbers(each)]
        if isinstance(value, list):
            return [one for each in value for one in numbers(each)]
        return [value] if isinstance(value, float) else []

    assert all(math.isfinite(one) for one in numbers(both[0]))
