"""The abilities of a model in plain sentences that claim no more than its scores support.

A score is shown with its interval, its number of items and the score of guessing.  Only a whole interval above guessing
is called an ability; a score whose interval holds the guess is not, however high the score.  A task whose answers
raised an alarm, or whose guessing score is not known, is reported as a number and not judged.  Deliberately absent:
praise by level ("good at"), which no score of a benchmark supports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from lavra.evaluation.alarms import chance_alarm
from lavra.evaluation.results import EvaluationResult, GroupResult, MetricResult, TaskResult


class GuessComparison(Enum):
    """The relation of a score to the score of guessing."""

    ABOVE = "above guessing"
    AT_CHANCE = "no better than guessing"
    BELOW = "worse than guessing"
    NEVER = "never right"
    MEASURED = "measured, not judged"
    UNSCORED = "not measured"


CAN, CANNOT = (GuessComparison.ABOVE,), (GuessComparison.AT_CHANCE, GuessComparison.BELOW, GuessComparison.NEVER)


@dataclass(frozen=True, kw_only=True)
class Ability:
    """The finding about a model on one task or group.

    Attributes:
        task: displayed name of the task or group.
        standing: relation of its first score to guessing.
        sentence: the score with its interval and number of items, and the conclusion.
    """

    task: str
    standing: GuessComparison
    sentence: str


def abilities(result: EvaluationResult) -> tuple[Ability, ...]:
    """Judge each group of a result, and each task that is in no group.

    Args:
        result: result of an evaluation.
    """
    inside = {member for group in result.groups for member in group.members}
    groups = [_of_group(group, result) for group in result.groups if group.group not in inside]
    tasks = [_of_task(task) for task in result.tasks if task.task not in inside]
    return (*groups, *tasks)


def in_words(found: Sequence[Ability]) -> str:
    """Sum up the abilities in one or two sentences, for a hurried reader.

    Args:
        found: the abilities of one model.
    """
    if not found:
        return "Nothing was measured."
    parts = []
    for words, standings in (
        ("above guessing at", CAN),
        ("no better than guessing at", CANNOT),
        ("measured without a judgement at", (GuessComparison.MEASURED,)),
        ("not measured at", (GuessComparison.UNSCORED,)),
    ):
        names = [one.task for one in found if one.standing in standings]
        if names:
            parts.append(f"{words} {_few(names)}")
    return f"The model is {'; '.join(parts)}."


def standing_of(metric: MetricResult, *, alarmed: bool = False) -> GuessComparison:
    """Compare a score with the score of guessing.

    Args:
        metric: the score.
        alarmed: whether the task raised an alarm; such a score is never called an ability.
    """
    if metric.value is None or metric.interval is None:
        return GuessComparison.UNSCORED
    if metric.chance is None:
        return GuessComparison.NEVER if metric.higher_is_better and metric.value == 0.0 else GuessComparison.MEASURED
    better, worse = (
        (metric.interval.low > metric.chance, metric.interval.high < metric.chance)
        if metric.higher_is_better
        else (metric.interval.high < metric.chance, metric.interval.low > metric.chance)
    )
    if better:
        return GuessComparison.MEASURED if alarmed else GuessComparison.ABOVE
    return GuessComparison.BELOW if worse else GuessComparison.AT_CHANCE


def _of_task(task: TaskResult) -> Ability:
    if not task.metrics:
        why = task.unscored or dict.fromkeys(task.warnings, task.num_items)
        return _unscored(task.alias, why)
    alarms = [one for one in task.alarms if one != chance_alarm(task.metrics)]  # the standing already says that
    return _ability(task.alias, task.metrics[0], task.unscored, alarms, task.num_shots)


def _of_group(group: GroupResult, result: EvaluationResult) -> Ability:
    members = [task for task in result.tasks if task.task in _leaves(group, result)]
    unscored: dict[str, int] = {}
    for task in members:
        for why, count in task.unscored.items():
            unscored[why] = unscored.get(why, 0) + count
    if not group.metrics:
        return _unscored(group.alias, unscored)
    return _ability(group.alias, group.metrics[0], unscored, (), None)


def _leaves(group: GroupResult, result: EvaluationResult) -> set[str]:
    named = {one.group: one for one in result.groups}
    found: set[str] = set()
    for member in group.members:
        found |= _leaves(named[member], result) if member in named else {member}
    return found


def _ability(
    alias: str, metric: MetricResult, unscored: Mapping[str, int], alarms: Sequence[str], shots: int | None
) -> Ability:
    standing = standing_of(metric, alarmed=bool(alarms))
    if metric.value is None or metric.interval is None:
        return _unscored(alias, unscored)
    asked = "" if shots is None else f", {shots} shots"
    score = (
        f"{alias}: {metric.name} {metric.value:.3f} ({100 * metric.interval.level:.0f} % interval "
        f"{metric.interval.low:.3f} to {metric.interval.high:.3f}, {metric.num_items:,} items{asked})"
    )
    guess = "" if metric.chance is None else f", where guessing scores {metric.chance:.3f}"
    meaning = "" if standing is GuessComparison.MEASURED else f": {standing.value}"
    alarm = f" ({'; '.join(alarms)})" if alarms else ""
    return Ability(task=alias, standing=standing, sentence=f"{score}{guess}{meaning}{alarm}.")


def _unscored(alias: str, unscored: Mapping[str, int]) -> Ability:
    why = (
        "; ".join(f"{count:,} items: {reason}" if count else reason for reason, count in unscored.items())
        or "no item was scored"
    )
    return Ability(task=alias, standing=GuessComparison.UNSCORED, sentence=f"{alias}: {why}.")


def _few(names: Sequence[str], most: int = 6) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
