"""Prompts, choices, right answers, stop strings and scores beside lm-evaluation-harness', on the same files."""

from __future__ import annotations

import logging
import math
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lavra.evaluation.items import EvalItem, OutputType, Response
from lavra.evaluation.scoring import aggregate, is_higher_better, score_item
from lavra.evaluation.task_files.opening import open_tasks
from lavra.evaluation.task_files.prompting import ChatSettings
from lavra.evaluation.task_files.task import EvalTask

pytestmark = [pytest.mark.slow, pytest.mark.data]
TASKS = Path(__file__).parent / "tasks"
NAMES = sorted(path.stem for path in TASKS.glob("*.yaml"))
KEEP_ZERO = {"one_target", "whole_text"}


@pytest.fixture(scope="module")
def harness() -> Iterator[Any]:
    logging.disable(logging.WARNING)
    from lm_eval.tasks import TaskManager

    yield TaskManager(include_path=str(TASKS), include_defaults=False)
    logging.disable(logging.NOTSET)


def theirs(harness: Any, name: str, shots: int | None) -> Any:
    task = harness.load([name])["tasks"][name]
    if shots is not None:
        task.set_config("num_fewshot", shots)
    task.set_fewshot_seed(1234)
    return task


def ours(name: str, data: Path, shots: int | None) -> EvalTask:
    return open_tasks([name], folders=[TASKS], data=data, num_fewshot=shots, with_shipped=False).tasks[0]


def asked(item: EvalItem) -> list[tuple[Any, ...]]:
    if item.kind is OutputType.GENERATE_UNTIL:
        assert item.generation is not None
        return [(item.prompt, item.generation.until)]
    if item.kind is OutputType.LOGLIKELIHOOD_ROLLING:
        return [(pair.continuation,) for pair in item.pairs]
    return [(pair.context, pair.continuation) for pair in item.pairs]


def requested(instance: Any) -> tuple[Any, ...]:
    if instance.request_type != "generate_until":
        return tuple(instance.args)
    until = instance.args[1]["until"]
    return instance.args[0], tuple([until] if isinstance(until, str) else until)


def template(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    turns = "".join(f"<{turn['role']}>{turn['content']}" for turn in messages)
    return turns + ("<assistant>" if add_generation_prompt else "")


def by_row(task: Any, **how: Any) -> dict[int, list[Any]]:
    task.build_all_requests(**how)
    rows = defaultdict(list)
    for instance in task.instances:
        rows[instance.doc_id].append(instance)
    return rows


@pytest.mark.parametrize("shots", [None, 0])
@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_asked_alike(
    harness: Any, lavra_data: Path, monkeypatch: pytest.MonkeyPatch, name: str, shots: int | None
) -> None:
    monkeypatch.chdir(lavra_data)
    other, task = theirs(harness, name, shots), ours(name, lavra_data, shots)
    rows = by_row(other)
    assert task.num_documents == len(rows)
    for doc_id, instances in rows.items():
        item = task.item(doc_id)
        assert asked(item) == [requested(instance) for instance in instances]
        assert dict(item.document) == instances[0].doc
        assert list(item.document) == list(instances[0].doc)
    assert {metric.name for metric in task.metrics} == set(other.aggregation())


@pytest.mark.parametrize("multiturn", [False, True])
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"whole_text"}))
def test_every_row_is_asked_alike_as_a_conversation(
    harness: Any, lavra_data: Path, monkeypatch: pytest.MonkeyPatch, name: str, multiturn: bool
) -> None:
    monkeypatch.chdir(lavra_data)
    other, task = theirs(harness, name, None), ours(name, lavra_data, None)
    rows = by_row(
        other,
        limit=40,
        system_instruction="Be brief.",
        apply_chat_template=True,
        fewshot_as_multiturn=multiturn,
        chat_template=template,
    )
    chat = ChatSettings(render=template, system_instruction="Be brief.", multiturn=multiturn)
    for doc_id, instances in rows.items():
        assert asked(task.item(doc_id, chat=chat)) == [requested(instance) for instance in instances]


@pytest.mark.parametrize("name", NAMES)
def test_random_answers_score_alike(harness: Any, lavra_data: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(lavra_data)
    other, task = theirs(harness, name, None), ours(name, lavra_data, None)
    drawn, rows = random.Random(name), by_row(other, limit=200)
    scores, values = [], defaultdict(list)
    for doc_id, instances in rows.items():
        item = task.item(doc_id)
        response = answer(drawn, item, instances)
        scores.append(score_item(task, item, response))
    other.apply_filters()
    for instances in rows.values():
        for pipeline in instances[0].filtered_resps:
            made = [instance.filtered_resps[pipeline] for instance in instances]
            for metric, value in other.process_results(instances[0].doc, made).items():
                values[pipeline, metric].append(value)
    found = aggregate(task, scores)
    assert set(found) == set(values)
    for key, of_items in values.items():
        wanted = other.aggregation()[key[1]](of_items)
        assert math.isclose(found[key] or 0.0, wanted, rel_tol=1e-12, abs_tol=1e-12), key
        assert is_higher_better(task, key[1]) == other.higher_is_better()[key[1]]


def answer(drawn: random.Random, item: EvalItem, instances: list[Any]) -> Response:
    """An artificial answer for both sides."""
    if item.kind is OutputType.GENERATE_UNTIL:
        gold = item.gold[0] if isinstance(item.gold, tuple) else item.gold
        text = drawn.choice([str(gold), f" {gold}. ", "#### 1,234.", "So the answer is True.", "", "$7 or 8"])
        instances[0].resps = [text]
        return Response(texts=(text,))
    logprobs = [-9 * drawn.random() for _ in instances]
    greedy = [drawn.random() < 0.5 for _ in instances]
    for instance, *values in zip(instances, logprobs, greedy, strict=True):
        rolling = item.kind is OutputType.LOGLIKELIHOOD_ROLLING
        instance.resps = [values[0] if rolling else tuple(values)]
    return Response(logprobs=tuple(logprobs), greedy=tuple(greedy))
