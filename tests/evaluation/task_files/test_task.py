"""Items of a task: their content, refused rows, the examples before each, and its scores."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from lavra.base.errors import ConfigError, InputError
from lavra.evaluation.items import OutputType, Response, Unscored
from lavra.evaluation.scoring import aggregate, exactly_equal, score_item
from lavra.evaluation.task_files.reading import read_task
from lavra.evaluation.task_files.shots import Shots
from lavra.evaluation.task_files.task import EvalTask
from lavra.evaluation.task_files.yaml_file import RawFile

ROWS = [{"q": f"{n} + 1", "options": ["1", "2", "three"], "a": n % 3} for n in range(8)]
CHOICE = {
    "task": "made", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}},
    "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "{{q}} =", "doc_to_choice": "options",
    "doc_to_target": "a",
}  # fmt: skip
WRITTEN = {**CHOICE, "output_type": "generate_until", "doc_to_choice": None}


def opened(folder: Path, values: dict[str, Any], rows: Any = ROWS, **how: Any) -> EvalTask:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return EvalTask(read_task(RawFile(path=Path("made.yaml"), values=values)), folder, **how)


def test_an_item_holds_what_is_asked(tmp_path: Path) -> None:
    item = opened(tmp_path, CHOICE).item(2)
    assert [(pair.context, pair.continuation) for pair in item.pairs] == [
        ("2 + 1 =", " 1"), ("2 + 1 =", " 2"), ("2 + 1 =", " three")
    ]  # fmt: skip
    assert (item.gold, item.choices, item.doc_id, item.num_shots) == (2, ("1", "2", "three"), 2, 0)
    written = opened(tmp_path, {**WRITTEN, "generation_kwargs": {"until": "\n", "max_gen_toks": 5}, "repeats": 2}).item(
        2
    )
    assert (written.prompt, written.gold, written.pairs) == ("2 + 1 =", "2", ())
    assert written.generation is not None
    assert (written.generation.until, written.generation.max_tokens, written.generation.repeats) == (("\n",), 5, 2)


def test_the_hash_of_a_prompt_changes_with_what_the_model_reads(tmp_path: Path) -> None:
    task = opened(tmp_path, CHOICE)
    other = opened(tmp_path, {**CHOICE, "target_delimiter": ""})
    assert task.item(1).prompt_hash == opened(tmp_path, {**CHOICE, "task_alias": "x"}).item(1).prompt_hash
    assert len({task.item(1).prompt_hash, task.item(2).prompt_hash, other.item(1).prompt_hash}) == 3


def test_the_hash_of_a_task_changes_with_its_file_and_its_examples(tmp_path: Path) -> None:
    tasks = [
        opened(tmp_path, CHOICE), opened(tmp_path, {**CHOICE, "description": "x"}), opened(tmp_path, CHOICE, seed=1),
        opened(tmp_path, CHOICE, num_shots=1),
    ]  # fmt: skip
    assert len({task.task_hash for task in tasks}) == 4
    assert opened(tmp_path, CHOICE).task_hash == tasks[0].task_hash


@pytest.mark.parametrize(
    ("values", "rows", "message"),
    [
        ({"doc_to_text": "{{qq}}"}, ROWS, r"task 'made', row 1 of the split 'test': doc_to_text: 'qq' is undefined; "
                                          r"the row has the columns q, options, a"),
        ({"doc_to_text": "{{q.x.y}}"}, ROWS, r"row 1 .*: doc_to_text: 'str object' has no attribute 'x'"),
        ({"doc_to_text": "{{q"}, ROWS, r"doc_to_text: is not valid Jinja in its line 1"),
        ({"doc_to_text": "{{options.append(1)}}"}, ROWS, r"doc_to_text: uses an operation that templates may not use"),
        ({"doc_to_text": "{{''.__class__}}"}, ROWS, r"doc_to_text: uses an operation that templates may not use"),
        ({"doc_to_text": "{{'a' * 10000000000}}"}, ROWS, r"doc_to_text: uses an operation that templates may not use"),
        ({"doc_to_text": "{{q + 1}}"}, ROWS, r"doc_to_text: fails on this row: TypeError"),
        ({"doc_to_choice": "{{q}}"}, ROWS, r"doc_to_choice: gives '1 \+ 1', which is not a Python list"),
        ({"doc_to_choice": "a"}, ROWS, r"doc_to_choice: gives 1; it takes a list of texts"),
        ({"doc_to_choice": None}, ROWS, r"doc_to_choice: is missing; a task of output_type multiple_choice"),
        ({"doc_to_text": "a", "doc_to_choice": None, "output_type": "generate_until"}, ROWS, r"which is not text"),
        ({"num_fewshot": 8, "fewshot_split": "test"}, ROWS, r"8 examples are asked for and need 9 rows .* there are 8"),
        ({"fewshot_split": "dev", "num_fewshot": 1}, ROWS, r"`data_files` has no split 'dev'"),
    ],
)  # fmt: skip
def test_absent_fields_of_a_row_are_named(tmp_path: Path, values: dict[str, Any], rows: Any, message: str) -> None:
    with pytest.raises((InputError, ConfigError), match=message):
        opened(tmp_path, {**CHOICE, **values}, rows).item(1)


def test_a_template_changes_no_row(tmp_path: Path) -> None:
    task = opened(tmp_path, {**CHOICE, "doc_to_text": "{% set x = options + ['y'] %}{{x | length}}"})
    assert task.item(0).document == ROWS[0]


# ---------------------------------------------------------------- examples


def test_examples_of_a_row_do_not_depend_on_which_row_is_asked_first(tmp_path: Path) -> None:
    values = {**CHOICE, "num_fewshot": 2, "fewshot_split": "test"}
    forwards, backwards = opened(tmp_path, values), opened(tmp_path, values)
    there = [forwards.item(row).pairs[0].context for row in range(8)]
    assert there == [backwards.item(row).pairs[0].context for row in reversed(range(8))][::-1]
    assert len(set(there)) == 8
    for row, context in enumerate(there):
        assert context.count(f"{row} + 1 =") == 1  # the row itself is not an example


def test_examples_that_do_not_fit_go_from_the_front(tmp_path: Path) -> None:
    task = opened(tmp_path, {**CHOICE, "num_fewshot": 3, "fewshot_split": "test", "description": "Add."})
    full, fewer, none = (task.item(4, keep_shots=keep) for keep in (None, 1, 0))
    parts = full.pairs[0].context.removeprefix("Add.").split("\n\n")
    assert fewer.pairs[0].context == "Add." + "\n\n".join(parts[-2:])
    assert none.pairs[0].context == "Add.4 + 1 ="
    assert (full.num_shots, fewer.num_shots, none.num_shots) == (3, 1, 0)


def test_equal_rows_in_the_pool_are_no_examples() -> None:
    pool = [{"q": "same"}] * 5 + [{"q": str(n)} for n in range(3)]
    shots = Shots(pool, 2, "default", [{"q": "same"}] * 20)
    assert all({"q": "same"} not in shots.of(row) and len(shots.of(row)) == 2 for row in range(20))
    with pytest.raises(ConfigError, match=r"4 examples are asked for, and 3 rows differ"):
        Shots(pool, 4, "first_n", pool).of(0)


def test_a_row_that_may_be_its_own_example_is_a_warning(tmp_path: Path) -> None:
    values = {key: value for key, value in CHOICE.items() if key != "test_split"} | {"validation_split": "test"}
    (warning,) = opened(tmp_path, {**values, "num_fewshot": 1, "fewshot_split": "test"}).warnings
    assert "a prompt may hold its own answer" in warning
    assert opened(tmp_path, {**CHOICE, "num_fewshot": 1, "fewshot_split": "test"}).warnings == ()


def test_other_rows_than_those_checked_are_a_warning(tmp_path: Path) -> None:
    task = opened(tmp_path, CHOICE)
    checked = {**CHOICE, "metadata": {"version": 1, "data_hash": task.data_hash}}
    assert opened(tmp_path, checked).warnings == ()
    (warning,) = opened(tmp_path, checked, [*ROWS[:7], {**ROWS[7], "a": 0}]).warnings
    assert "are not those its file was checked with" in warning
    assert task.data_hash != opened(tmp_path, CHOICE, ROWS[::-1]).data_hash


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize("gold", [-1, 3, None, "four", [5, -1], ["four"], []])
def test_a_row_without_a_right_answer_is_unscored(tmp_path: Path, gold: Any) -> None:
    task = opened(tmp_path, CHOICE, [{**ROWS[0], "a": gold}])
    score = score_item(task, task.item(0), Response(logprobs=(-1.0, -2.0, -3.0), greedy=(True, False, False)))
    assert score.response.unscored is Unscored.BAD_ROW
    assert aggregate(task, [score]) == {("none", "acc"): None, ("none", "acc_norm"): None}


def test_a_right_answer_may_be_the_text_of_a_choice(tmp_path: Path) -> None:
    task = opened(tmp_path, CHOICE, [{**ROWS[0], "a": "three"}])
    assert task.item(0).gold == 2


def test_an_unscored_response_has_no_values(tmp_path: Path) -> None:
    task = opened(tmp_path, CHOICE)
    score = score_item(task, task.item(0), Response(unscored=Unscored.NO_LOGPROBS))
    assert (score.values, score.chosen) == ({}, None)
    right = score_item(task, task.item(0), Response(logprobs=(-1.0, -2.0, -9.0), greedy=(True,) * 3))
    assert aggregate(task, [score, right])["none", "acc"] == 1.0  # of one item


def test_ties_and_choices_are_said(tmp_path: Path) -> None:
    task = opened(tmp_path, CHOICE)
    tied = score_item(task, task.item(0), Response(logprobs=(-1.0,) * 3, greedy=(False,) * 3))
    told = score_item(task, task.item(0), Response(logprobs=(-3.0, -1.0, -2.0), greedy=(False,) * 3))
    assert (tied.tied, told.tied, told.chosen) == (True, False, 1)


def test_perplexities_are_their_definitions(tmp_path: Path) -> None:
    values = {**WRITTEN, "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "q"}
    task, drawn = opened(tmp_path, values), random.Random(0)
    logprobs = [-30 * drawn.random() for _ in ROWS]
    scores = [
        score_item(task, task.item(n), Response(logprobs=(one,), greedy=(False,))) for n, one in enumerate(logprobs)
    ]
    found = aggregate(task, scores)
    num_bytes, num_words = sum(len(row["q"]) for row in ROWS), sum(len(row["q"].split()) for row in ROWS)
    assert found["none", "bits_per_byte"] == pytest.approx(-sum(logprobs) / num_bytes / math.log(2))
    assert found["none", "byte_perplexity"] == pytest.approx(math.exp(-sum(logprobs) / num_bytes))
    assert found["none", "word_perplexity"] == pytest.approx(math.exp(-sum(logprobs) / num_words))
    assert task.kind is OutputType.LOGLIKELIHOOD_ROLLING


def test_several_classes_have_no_f1(tmp_path: Path) -> None:
    task = opened(tmp_path, {**CHOICE, "metric_list": [{"metric": "f1"}]})
    scores = [
        score_item(task, task.item(n), Response(logprobs=(-1.0, -2.0, -3.0), greedy=(False,) * 3)) for n in range(3)
    ]
    with pytest.raises(InputError, match=r"the metric f1 is for two classes"):
        aggregate(task, scores)


@pytest.mark.parametrize(
    ("how", "same"),
    [
        ({}, False),
        ({"ignore_case": True}, False),
        ({"ignore_case": True, "ignore_punctuation": True}, False),
        ({"ignore_case": True, "ignore_punctuation": True, "ignore_numbers": True}, True),
        ({"regexes_to_ignore": [r"(?s).*", "x"]}, True),
    ],
)
def test_texts_are_equal_apart_from_what_is_ignored(how: dict[str, Any], same: bool) -> None:
    assert exactly_equal("It's 12", "its 3.", **how) == float(same)
