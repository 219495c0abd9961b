"""What a model can and cannot do, said in plain words and no further than its scores reach.

A score stands beside its interval, its number of items and what guessing scores.  Only a whole interval above guessing
is called an ability; an interval that holds the guess is none, whatever the score.  A task whose answers raised an
alarm or whose guess is not known is reported as a number and not judged.  Deliberately absent: praise by level ("good
at"), which no score of a benchmark supports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from lavra.evaluation.alarms import chance_alarm
from lavra.evaluation.results import EvaluationResult, GroupResult, MetricResult, TaskResult


class Standing(Enum):
    """How a score stands to guessing."""

    ABOVE = "above guessing"
    AT_CHANCE = "no better than guessing"
    BELOW = "worse than guessing"
    NEVER = "never right"
    MEASURED = "measured, not judged"
    UNSCORED = "not measured"


CAN, CANNOT = (Standing.ABOVE,), (Standing.AT_CHANCE, Standing.BELOW, Standing.NEVER)


@dataclass(frozen=True, kw_only=True)
class Ability:
    """What is known of a model on one task or group.

    Attributes:
        task: how it is shown.
        standing: of its first score.
        sentence: the score with its interval and items, and what that means.
    """

    task: str
    standing: Standing
    sentence: str


def abilities(result: EvaluationResult) -> tuple[Ability, ...]:
    """What a result says of each group, and of each task that is in no group.

    Args:
        result: of an evaluation.
    """
    inside = {member for group in result.groups for member in group.members}
    groups = [_of_group(group, result) for group in result.groups if group.group not in inside]
    tasks = [_of_task(task) for task in result.tasks if task.task not in inside]
    return (*groups, *tasks)


def in_words(found: Sequence[Ability]) -> str:
    """One or two sentences for a hurried reader.

    Args:
        found: of a model.
    """
    if not found:
        return "Nothing was measured."
    parts = []
    for words, standings in (
        ("above guessing at", CAN),
        ("no better than guessing at", CANNOT),
        ("measured without a judgement at", (Standing.MEASURED,)),
        ("not measured at", (Standing.UNSCORED,)),
    ):
        names = [one.task for one in found if one.standing in standings]
        if names:
            parts.append(f"{words} {_few(names)}")
    return f"The model is {'; '.join(parts)}."


def standing_of(metric: MetricResult, *, alarmed: bool = False) -> Standing:
    """How a score stands to guessing.

    Args:
        metric: the score.
        alarmed: whether its task raised an alarm: then it may be no ability.
    """
    if metric.value is None or metric.interval is None:
        return Standing.UNSCORED
    if metric.chance is None:
        return Standing.NEVER if metric.higher_is_better and metric.value == 0.0 else Standing.MEASURED
    better, worse = (
        (metric.interval.low > metric.chance, metric.interval.high < metric.chance)
        if metric.higher_is_better
        else (metric.interval.high < metric.chance, metric.interval.low > metric.chance)
    )
    if better:
        return Standing.MEASURED if alarmed else Standing.ABOVE
    return Standing.BELOW if worse else Standing.AT_CHANCE


def _of_task(task: TaskResult) -> Ability:
    if not task.metrics:
        why = task.unscored or dict.fromkeys(task.warnings, task.num_items)
        return _unscored(task.alias, why)
    alarms = [one for one in task.alarms if one != chance_alarm(task.metrics)]  # the standing says that
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
    meaning = "" if standing is Standing.MEASURED else f": {standing.value}"
    alarm = f" ({'; '.join(alarms)})" if alarms else ""
    return Ability(task=alias, standing=standing, sentence=f"{score}{guess}{meaning}{alarm}.")


def _unscored(alias: str, unscored: Mapping[str, int]) -> Ability:
    why = (
        "; ".join(f"{count:,} items: {reason}" if count else reason for reason, count in unscored.items())
        or "no item was scored"
    )
    return Ability(task=alias, standing=Standing.UNSCORED, sentence=f"{alias}: {why}.")


def _few(names: Sequence[str], most: int = 6) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
