"""Filters beside lm-evaluation-harness' own, on random answers."""

from __future__ import annotations

import random
from typing import Any

import pytest

from lavra.base.errors import ConfigError
from lavra.evaluation.task_files.filters import build_pipeline
from lavra.evaluation.task_files.task_file import FilterSetting, PipelineSetting

PIECES = [
    "#### 1,234", "####", "-5", "$7.50", "(A)", "(B)", ": C", "A", "yes", "No.", " ", "\n", "Paris", "paris france",
    "The answer is", "10", "['x']", "('cat', 'NOUN')", "PER: Ann, none $$ location: Rio", "time: 10", "é",
]  # fmt: skip
ROW = {"choices": ["Paris", "Paris, France", "no"]}
CASES: list[list[dict[str, Any]]] = [
    [{"function": "take_first"}],
    [{"function": "regex"}],
    [{"function": "regex", "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "group_select": -1}],
    [{"function": "regex", "regex_pattern": r"(?i)(yes|no)", "fallback": "?"}, {"function": "lowercase"}],
    [{"function": "regex", "regex_pattern": "(x)?(y)?"}],
    [{"function": "regex_pos"}],
    [{"function": "remove_whitespace"}, {"function": "uppercase"}],
    [{"function": "map", "mapping_dict": {"A": 1, "yes": "no"}, "default_value": "none"}],
    [{"function": "map", "mapping_dict": {"10": True}}],
    [{"function": "multi_choice_regex", "regex_pattern": r"(\([A-Z]\))"}],
    [{"function": "multi_choice_regex", "ignore_case": True, "ignore_punctuation": True, "group_select": -1}],
    [{"function": "multi_choice_regex", "ignore_case": True, "regexes_to_ignore": ["the answer is", ","]}],
    [{"function": "regex", "regex_pattern": r"\d+"}, {"function": "majority_vote"}, {"function": "take_first"}],
    [{"function": "take_first_k", "k": 2}, {"function": "majority_vote"}, {"function": "take_first"}],
    [{"function": "format_span"}],
]


def pipeline(steps: list[dict[str, Any]]) -> Any:
    settings = tuple(
        FilterSetting(
            function=step["function"], options={key: value for key, value in step.items() if key != "function"}
        )
        for step in steps
    )
    return build_pipeline(PipelineSetting(name="made", steps=settings), "made")


def theirs(steps: list[dict[str, Any]], answers: list[str]) -> Any:
    from lm_eval.filters import build_filter_ensemble

    parts = [(step["function"], {key: step[key] for key in step if key != "function"}) for step in steps]
    made: Any = [list(answers)]
    for one in build_filter_ensemble("made", parts).filters:
        made = one().apply(made, [ROW])
    return next(iter(made))


@pytest.mark.slow  # the harness takes seconds to import
@pytest.mark.parametrize("steps", CASES, ids=str)
def test_random_answers_come_out_alike(steps: list[dict[str, Any]]) -> None:
    drawn = random.Random(str(steps))
    for _ in range(25 if "multi_choice" in str(steps) else 400):  # the harness lists all punctuation each time
        answers = [" ".join(drawn.choices(PIECES, k=drawn.randint(0, 3))) for _ in range(3)]
        assert pipeline(steps).apply(answers, ROW).value == theirs(steps, answers), answers


def test_absent_answers_are_marked() -> None:
    steps = [{"function": "regex", "regex_pattern": r"\d+"}, {"function": "take_first"}]
    assert pipeline(steps).apply(["it is 5"], ROW).found
    missing = pipeline(steps).apply(["none"], ROW)
    assert (missing.value, missing.found) == ("[invalid]", False)
    assert not pipeline([steps[0], {"function": "lowercase"}, steps[1]]).apply(["none"], ROW).found  # kept to the end
    assert pipeline(steps).apply(["[invalid] 5"], ROW).found


def test_a_match_that_is_not_there_is_not_found() -> None:
    steps = [{"function": "regex", "regex_pattern": r"\d+", "group_select": 1}, {"function": "take_first"}]
    assert not pipeline(steps).apply(["5"], ROW).found  # where the harness ends in an IndexError


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"function": "regx"}], r"unknown filter 'regx'; did you mean 'regex'"),
        ([{"function": "regex", "regex_pattern": "("}], r"'regex' has no valid regular expression"),
        ([{"function": "regex", "pattern": "x"}], r"'regex' does not take these options"),
    ],
)
def test_wrong_filters_are_refused(steps: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pipeline(steps)


def test_an_order_that_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a filter stands after `take_first`"):
        pipeline([{"function": "take_first"}, {"function": "lowercase"}]).apply(["A"], ROW)
    with pytest.raises(ConfigError, match=r"takes 4 answers, and an item has 3; raise `repeats` to 4"):
        pipeline([{"function": "take_first_k", "k": 4}]).apply(["A", "B", "C"], ROW)
