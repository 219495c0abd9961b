"""Statements about a model follow from intervals, and never exceed them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lavra.evaluation.abilities import GuessComparison, abilities, in_words, standing_of
from lavra.evaluation.results import EvaluationResult
from tests.evaluation.results_made import made_result, metric, task


@pytest.mark.parametrize(
    ("value", "half", "chance", "higher", "standing"),
    [
        (0.6, 0.05, 0.25, True, GuessComparison.ABOVE),
        (0.29, 0.05, 0.25, True, GuessComparison.AT_CHANCE),  # a score above chance whose interval reaches down to it
        (0.30, 0.05, 0.25, True, GuessComparison.AT_CHANCE),  # an interval that ends at chance holds it
        (0.15, 0.05, 0.25, True, GuessComparison.BELOW),
        (0.15, 0.05, 0.25, False, GuessComparison.ABOVE),
        (0.6, 0.05, 0.25, False, GuessComparison.BELOW),
        (0.6, 0.05, None, True, GuessComparison.MEASURED),
        (0.0, 0.0, None, True, GuessComparison.NEVER),
        (0.0, 0.0, None, False, GuessComparison.MEASURED),  # an error rate of 0 is no inability
        (None, 0.0, 0.25, True, GuessComparison.UNSCORED),
    ],
)
def test_an_ability_is_a_whole_interval_beyond_guessing(
    value: float | None, half: float, chance: float | None, higher: bool, standing: GuessComparison
) -> None:
    assert standing_of(metric("acc", value, half, chance=chance, higher=higher)) is standing


def test_an_alarm_takes_an_ability_away_and_never_an_inability() -> None:
    good, bad = metric("acc", 0.6, chance=0.25), metric("acc", 0.25, chance=0.25)
    assert standing_of(good, alarmed=True) is GuessComparison.MEASURED
    assert standing_of(bad, alarmed=True) is GuessComparison.AT_CHANCE


def test_sentences_hold_score_interval_items_and_guess() -> None:
    said = {one.task: one for one in abilities(made_result())}
    assert said["arc_easy"].sentence == (
        "arc_easy: acc 0.620 (95 % interval 0.570 to 0.670, 200 items, 0 shots), where guessing scores 0.250: "
        "above guessing."
    )
    assert said["gsm8k"].sentence.endswith("5 shots): never right.")
    assert (
        said["wikitext"].sentence
        == "wikitext: word_perplexity 34.500 (95 % interval 32.500 to 36.500, 200 items, 0 shots)."
    )
    assert said["humaneval"].sentence == "humaneval: 200 items: code is not run without a sandbox."


def test_a_group_speaks_for_its_tasks() -> None:
    said = abilities(made_result())
    assert [one.task for one in said] == ["mmlu", "arc_easy", "gsm8k", "wikitext", "humaneval"]
    assert said[0].standing is GuessComparison.AT_CHANCE


def test_a_group_without_a_score_says_why_of_its_tasks() -> None:
    result = made_result()
    broken = tuple(replace(one, unscored={"no sandbox": 3}) for one in result.tasks)
    empty = replace(result.groups[0], metrics=())
    (first, *_) = abilities(replace(result, tasks=broken, groups=(empty,)))
    assert first.sentence == "mmlu: 6 items: no sandbox."


def test_many_names_are_counted() -> None:
    tasks = tuple(task(f"t{number}", metric("acc", 0.6, chance=0.25)) for number in range(9))
    result = EvaluationResult(model="m", model_hash="", tasks=tasks)
    assert in_words(abilities(result)) == "The model is above guessing at t0, t1, t2, t3, t4, t5 and 3 more."
    assert in_words(()) == "Nothing was measured."
