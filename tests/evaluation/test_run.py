"""An evaluation of a model with known answers: scores, counts, alarms, and the requests saved by the ledger."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics

from lavra.base.config import to_mapping
from lavra.base.errors import ConfigError, InputError
from lavra.evaluation.asking import PromptTokens
from lavra.evaluation.items import Unscored
from lavra.evaluation.ledger import Ledger
from lavra.evaluation.run import EvaluationSettings, ModelIdentity, evaluate
from lavra.evaluation.task_files.opening import open_tasks
from tests.evaluation.toy import CHOICES, ROLLING, WRITING, ToyScorer, logprob, rows, share, write_task

IDENTITY = ModelIdentity(name="toy", hash="t")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """Three tasks, one of each kind."""
    folder = tmp_path_factory.mktemp("tasks")
    files = [
        write_task(folder, "choosing", CHOICES, rows(30)),
        write_task(folder, "writing", WRITING, rows(11)),
        write_task(folder, "reading", ROLLING, rows(3)),
    ]
    return open_tasks([str(file) for file in files], with_shipped=False).tasks


def run(tasks, model=None, **options):
    settings = options.pop("settings", EvaluationSettings(resamples=20, batch=10))
    return evaluate(model or ToyScorer(), tasks, settings, identity=IDENTITY, **options)


def plain(result):
    """A result without times and without the ledger's counts."""
    tasks = tuple(replace(task, cost=replace(task.cost, seconds=0.0, from_ledger=0)) for task in result.tasks)
    return to_mapping(replace(result, tasks=tasks, seconds=0.0, peak_memory=0))


def metric(result, task, name):
    (found,) = [one for each in result.tasks if each.task == task for one in each.metrics if one.name == name]
    return found


def test_scores_are_those_of_the_models_numbers(tasks):
    result = run(tasks)
    documents = rows(30)
    right, normed, guesses = [], [], []
    for row in documents:
        context = f"Q: {row['q']}\nA:"
        likely = [logprob(context, f" {choice}") for choice in row["choices"]]
        guesses.append(int(np.argmax(likely)))
        right.append(guesses[-1] == row["gold"])
        lengths = [len(choice) for choice in row["choices"]]
        normed.append(int(np.argmax(np.array(likely) / lengths)) == row["gold"])
    acc = metric(result, "choosing", "acc")
    assert acc.value == np.mean(right)
    assert acc.standard_error == pytest.approx(np.std(right, ddof=1) / math.sqrt(30))
    assert acc.interval.low < acc.value < acc.interval.high
    assert acc.chance == 0.5
    assert acc.num_items == 30
    assert metric(result, "choosing", "acc_norm").value == np.mean(normed)
    golds = [row["gold"] for row in documents]
    assert metric(result, "choosing", "f1").value == pytest.approx(sklearn.metrics.f1_score(golds, guesses))

    written = [str(int(share(f"{row['q']} =") * 4)) for row in rows(11)]
    kept = [text if text in "012" else "[invalid]" for text in written]
    expected = np.mean([text == str(row["gold"]) for text, row in zip(kept, rows(11), strict=True)])
    assert metric(result, "writing", "exact_match").value == expected
    assert result.tasks[1].extraction_failed == {"strict": kept.count("[invalid]")}
    assert result.tasks[1].cost.completion_tokens == 22

    total = sum(logprob("", row["q"]) for row in rows(3))
    num_bytes = sum(len(row["q"]) for row in rows(3))
    assert metric(result, "reading", "bits_per_byte").value == pytest.approx(-total / num_bytes / math.log(2))


def test_a_result_says_how_it_came_about(tasks):
    found = run(tasks, settings=EvaluationSettings(limit=3, resamples=10)).tasks[0]
    assert (found.num_items, found.num_available, found.num_shots) == (3, 30, 0)
    assert found.prompt == "Q: how much is 0\nA: a0"
    assert len(found.task_hash) == len(found.data_hash) == len(found.prompt_hash) == 16
    assert found.config["doc_to_text"] == "Q: {{q}}\nA:"


@pytest.mark.parametrize(("limit", "number"), [(3, 3), (0.1, 3), (0.101, 4), (1000, 30), (1, 1)])
def test_a_limit_counts_as_lm_evaluation_harness_counts(tasks, limit, number):
    assert run(tasks[:1], settings=EvaluationSettings(limit=limit, resamples=5)).tasks[0].num_items == number


def test_chosen_items(tasks):
    seen = []
    settings = EvaluationSettings(items={"choosing": (3, 20)}, resamples=5)
    run(tasks[:1], settings=settings, sink=lambda one: seen.append(one.item.doc_id))
    assert seen == [3, 20]
    with pytest.raises(InputError, match=r"items of choosing: 30 is outside 0\.\.29"):
        run(tasks[:1], settings=EvaluationSettings(items={"choosing": (30,)}))
    with pytest.raises(InputError, match=r"did you mean 'choosing'\?"):
        run(tasks[:1], settings=EvaluationSettings(items={"chosing": (0,)}))


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": -1}, {"limit": 2.5}, {"batch": 0}])
def test_settings_out_of_range(wrong):
    with pytest.raises(ConfigError, match=r"give|ask"):
        EvaluationSettings(**wrong)


# ---------------------------------------------------------------- the ledger


def test_the_second_time_nothing_is_asked_and_the_result_is_the_same(tasks, tmp_path):
    model = ToyScorer()
    with Ledger(tmp_path / "l.db") as ledger:
        first = run(tasks, model, ledger=ledger)
        asked = len(model.asked)
        second = run(tasks, model, ledger=ledger)
    assert asked == 2 * 30 + 11 + 3
    assert len(model.asked) == asked
    assert plain(first) == plain(second)
    assert [task.cost.from_ledger for task in second.tasks] == [30, 11, 3]


def test_a_limit_that_grows_asks_for_the_new_items_alone(tasks, tmp_path):
    model = ToyScorer()
    with Ledger(tmp_path / "l.db") as ledger:
        run(tasks[:1], model, ledger=ledger, settings=EvaluationSettings(limit=10, resamples=5))
        run(tasks[:1], model, ledger=ledger, settings=EvaluationSettings(limit=12, resamples=5))
    assert len(model.asked) == 2 * 12
    assert len(set(model.asked)) == 2 * 12


def test_fresh_asks_again(tasks, tmp_path):
    model = ToyScorer()
    with Ledger(tmp_path / "l.db") as ledger:
        run(tasks[:1], model, ledger=ledger)
        run(tasks[:1], model, ledger=ledger, settings=EvaluationSettings(fresh=True, resamples=5))
    assert len(model.asked) == 2 * 2 * 30


def test_another_model_is_asked_though_the_prompts_are_known(tasks, tmp_path):
    model = ToyScorer()
    with Ledger(tmp_path / "l.db") as ledger:
        run(tasks[:1], model, ledger=ledger)
        evaluate(model, tasks[:1], identity=ModelIdentity(name="b", hash="b"), ledger=ledger)
    assert len(model.asked) == 2 * 2 * 30


class Killed(BaseException):
    """Raised in place of a signal."""


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_run_that_died_goes_on_where_it_was(tasks, tmp_path, after):
    """Death between chunks or inside one: kept chunks are not requested again."""
    whole = run(tasks)
    calls = []

    class Dying(ToyScorer):
        def score(self, requests):
            calls.append(len(requests))
            if len(calls) == after:
                raise Killed
            return super().score(requests)

    model = Dying()
    with Ledger(tmp_path / "l.db") as ledger:
        with pytest.raises(Killed):
            run(tasks, model, ledger=ledger)
        resumed = run(tasks, model, ledger=ledger)
    assert plain(resumed) == plain(whole)
    assert len(model.asked) == len(set(model.asked)) == 2 * 30 + 11 + 3


# ---------------------------------------------------------------- what goes wrong is counted


def test_a_model_without_log_probabilities_leaves_items_unscored(tasks):
    result = run(tasks, ToyScorer(has_logprobs=False))
    assert result.tasks[0].unscored == {Unscored.NO_LOGPROBS.value: 30}
    assert [one.value for one in result.tasks[0].metrics] == [None, None, None]
    assert [one.interval for one in result.tasks[0].metrics] == [None, None, None]
    assert result.tasks[0].alarms == ("no item has a score",)
    assert metric(result, "writing", "exact_match").value is not None
    assert result.tasks[2].unscored == {Unscored.NO_LOGPROBS.value: 3}


def test_unscored_items_are_not_kept_and_are_asked_again(tasks, tmp_path):
    with Ledger(tmp_path / "l.db") as ledger:
        run(tasks[:1], ToyScorer(has_logprobs=False), ledger=ledger)
    with sqlite3.connect(tmp_path / "l.db") as connection:
        assert connection.execute("SELECT count(*) FROM samples").fetchone() == (0,)


def test_one_item_that_does_not_fit_is_unscored_and_the_others_are_not(tmp_path):
    documents = rows(6)
    documents[2]["choices"] = ["x" * 300, "y"]
    file = write_task(tmp_path, "long", CHOICES, documents)
    result = run(open_tasks([str(file)], with_shipped=False).tasks, ToyScorer(context=100))
    assert result.tasks[0].unscored == {Unscored.TOO_LONG.value: 1}
    assert metric(result, "long", "acc").num_items == 5


def test_truncated_prompts_are_counted(tasks):
    result = run(tasks, ToyScorer(context=20))
    assert result.tasks[0].truncated_prompts == 30
    assert result.tasks[1].truncated_prompts == 0  # "how much is 10 =" has 16 characters
    assert run(tasks, ToyScorer(context=15)).tasks[1].truncated_prompts == 1


def test_prompts_are_cut_so_that_the_answer_finds_room(tasks):
    model = ToyScorer()
    tokens = PromptTokens(encode=lambda text: list(map(ord, text)), context=20)
    result = run(tasks[1:2], model, tokens=tokens)
    assert result.tasks[0].truncated_prompts == 11
    assert {len(prompt) for prompt, _ in model.asked} == {12}
    assert model.asked[0][0] == "how much is 0 ="[-12:]


def test_examples_are_dropped_until_the_prompt_fits(tmp_path):
    shots = {**CHOICES, "fewshot_split": "test", "num_fewshot": 4}
    file = write_task(tmp_path, "shots", shots, rows(9))
    (task,) = open_tasks([str(file)], with_shipped=False).tasks
    tokens = PromptTokens(encode=lambda text: list(map(ord, text)), context=80)
    settings = EvaluationSettings(drop_shots=True, resamples=5)
    model = ToyScorer()
    result = run([task], model, tokens=tokens, settings=settings)
    assert max(len(given) + len(text) for given, text in model.asked) <= 80
    whole = task.item(0).pairs[0].context
    assert result.tasks[0].dropped_shots >= 9
    assert len(whole) > 80


def test_alarms(tasks, tmp_path):
    choosing, writing, _ = tasks
    assert any(
        "equally likely in each of the 30" in one for one in run([choosing], ToyScorer(equal=True)).tasks[0].alarms
    )
    assert any("does not measurably differ from guessing" in one for one in run([choosing]).tasks[0].alarms)
    assert "all 11 answers are empty" in run([writing], ToyScorer(constant="  ")).tasks[0].alarms
    assert "the answer to all 11 items is ' 1'" in run([writing], ToyScorer(constant=" 1")).tasks[0].alarms
    lost = run([writing], ToyScorer(constant=" none")).tasks[0]
    assert "the filter strict finds no answer in any of the 11 texts" in lost.alarms
    same = [{**row, "choices": ["a", "it is said that " * 9]} for row in rows(20)]
    file = write_task(tmp_path, "same", CHOICES, same)
    result = run(open_tasks([str(file)], with_shipped=False).tasks)
    assert "choice 0 is the answer to all 20 items" in result.tasks[0].alarms


def test_nothing_is_nan_where_all_items_are_alike(tmp_path):
    alike = [{**row, "gold": 0, "choices": ["a", "b" * 80]} for row in rows(12)]
    file = write_task(tmp_path, "alike", {**CHOICES, "metric_list": [{"metric": "mcc"}, {"metric": "acc"}]}, alike)
    result = run(open_tasks([str(file)], with_shipped=False).tasks)
    for one in result.tasks[0].metrics:
        numbers = [one.value, one.standard_error, one.interval and one.interval.low, one.interval and one.interval.high]
        assert all(number is None or math.isfinite(number) for number in numbers)
    acc = metric(result, "alike", "acc")
    assert acc.value == 1.0
    assert acc.interval.low == pytest.approx(0.025 ** (1 / 12))  # Clopper and Pearson: a bootstrap would say 1
