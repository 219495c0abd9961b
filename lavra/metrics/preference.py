"""Strengths of models from votes for one of two answers, by people or by judges.

Bradley and Terry (1952) give each model a strength: the odds that i is preferred to j are exp(strength i - strength j).
Davidson (1970) adds ties: P(i) : P(j) : P(tie) = exp(i) : exp(j) : v * exp((i + j) / 2), where v is one number of the
whole study, found with the strengths.  A tie is then worth half a win to each side, and the share of ties is part
of the model instead of being thrown away.  Without any tie it is plain Bradley-Terry.

The likelihood is concave and Newton's method finds its top.  A model that won or lost every vote has no finite
strength; so each model begins with a few votes against an imaginary average one (`prior`), and `warnings` names
the strengths that rest on those.

Intervals draw whole units (items) again, because votes on one item resemble each other.

Deliberately absent: an effect of the place an answer was shown at (show both orders), and voters' reliability.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from lavra.base.arrays import Float64s, Int64s
from lavra.base.errors import ConfigError, InputError
from lavra.metrics.intervals import LEVEL, RESAMPLES, Interval, score_intervals
from lavra.metrics.probabilities import softmax

PRIOR = 0.1
_LEAST_PRIOR = 0.01  # below it the likelihood of some votes is too flat for Newton's method in float64
_MOST_STEPS, _LONGEST_STEP, _SMALLEST_STEP = 200, 2.0, 1e-9
_HALVES = np.array([0.5, -0.5, 0.0])  # shares of a difference of strengths in the logits of first, second and tie


class Preferred(Enum):
    """A voter's preference between two answers."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceVote:
    """A judgement of two answers.

    Attributes:
        first: model of the first answer.
        second: model of the second answer.
        preferred: the voter's preference.
        unit: the subject of the vote, an item for instance; votes with an equal unit are drawn again together.  Empty:
            the vote stands for itself.
    """

    first: str
    second: str
    preferred: Preferred
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Strength:
    """The strength of a model, and its votes.

    Attributes:
        name: name of the model.
        value: strength, in natural-log odds; the mean over the models is 0.
        interval: bootstrap interval of the value.
        wins: votes that prefer it.
        losses: votes that prefer the other.
        ties: votes that prefer neither.
    """

    name: str
    value: float
    interval: Interval
    wins: int
    losses: int
    ties: int


@dataclass(frozen=True, kw_only=True)
class PreferenceRanking:
    """Models in the order in which voters prefer them.

    Attributes:
        strengths: best first.
        tie_weight: Davidson's v; 0 without ties.  Two equal models tie in v of 2 + v votes.
        num_votes: number of votes.
        num_units: number of units that the votes are about.
        warnings: strengths that rest on the prior alone, one sentence each.
    """

    strengths: tuple[Strength, ...]
    tie_weight: float
    num_votes: int
    num_units: int
    warnings: tuple[str, ...] = ()

    def chances(self, first: str, second: str) -> tuple[float, float, float]:
        """Probabilities that the first is preferred, that the second is, and that they tie.

        Raises:
            InputError: no vote was about one of them.
        """
        values = {one.name: one.value for one in self.strengths}
        for name in (first, second):
            if name not in values:
                raise InputError(f"{name!r} has no votes; there are votes about {', '.join(sorted(values))}")
        half = (values[first] - values[second]) / 2.0
        first_odds, second_odds = math.exp(half), math.exp(-half)
        total = first_odds + second_odds + self.tie_weight
        return first_odds / total, second_odds / total, self.tie_weight / total


def rank_by_preference(
    votes: Sequence[PreferenceVote],
    *,
    prior: float = PRIOR,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> PreferenceRanking:
    """Strengths of all models that votes are about, with bootstrap intervals.

    Args:
        votes: in any order.
        prior: wins, losses and (where votes have any) ties that each model begins with, against an imaginary average
            model; the nearer to 0, the nearer to maximum likelihood, which is not finite for all votes.
        resamples: number of draws of the units.
        level: share of intervals that are to hold the true value.
        seed: seed of the draws.

    Raises:
        ConfigError: a setting is out of range.
        InputError: there are no votes, one compares a model with itself, or they have no likeliest strengths that can
            be found.
    """
    _check(votes, prior)
    names = sorted({name for vote in votes for name in (vote.first, vote.second)})
    study = _Study(votes, names, prior)
    whole = study.fit(np.arange(study.num_units), np.zeros(len(names) + 1))
    intervals = score_intervals(
        lambda taken: dict(zip(names, _centred(study.fit(taken, whole)), strict=True)),
        study.num_units,
        resamples=resamples,
        level=level,
        seed=seed,
    )
    return PreferenceRanking(
        strengths=_strengths(votes, dict(zip(names, _centred(whole), strict=True)), intervals),
        tie_weight=math.exp(whole[-1]) if study.has_ties else 0.0,
        num_votes=len(votes),
        num_units=study.num_units,
        warnings=tuple(_warnings(votes, names)),
    )


class _Study:
    """Votes as counts, and the fit of strengths to a draw of their units."""

    def __init__(self, votes: Sequence[PreferenceVote], names: Sequence[str], prior: float) -> None:
        place = {name: at for at, name in enumerate(names)}
        pairs = sorted({_pair(vote) for vote in votes})
        row_of = {pair: at for at, pair in enumerate(pairs)}
        units = {unit: at for at, unit in enumerate(dict.fromkeys(_unit(vote, at) for at, vote in enumerate(votes)))}
        self.num_units = len(units)
        self.has_ties = any(vote.preferred is Preferred.TIE for vote in votes)
        # A cell is a pair and an outcome: first of the pair preferred, second, tie.
        self._cells = np.array([3 * row_of[_pair(vote)] + _outcome(vote) for vote in votes])
        self._unit_of = np.array([units[_unit(vote, at)] for at, vote in enumerate(votes)])
        self._design = np.zeros((len(pairs) + len(names), len(names)))  # (rows, M) the two models of each row, 1 and -1
        for row, (first, second) in enumerate(pairs):
            self._design[row, place[first]], self._design[row, place[second]] = 1.0, -1.0
        self._design[len(pairs) :] = np.eye(len(names))  # against the imaginary model of strength 0
        outcomes = [1.0, 1.0, float(self.has_ties)]
        self._prior = np.vstack([np.zeros((len(pairs), 3)), prior * np.tile(outcomes, (len(names), 1))])

    def fit(self, taken: Int64s, start: Float64s) -> Float64s:
        """(M+1,) strengths and ln v that make the votes of the units drawn, and the prior's, the likeliest."""
        counts = self._counts(taken)
        values = start.copy()
        for _ in range(_MOST_STEPS):
            slope, curvature = self._derivatives(counts, values)
            step: Float64s = np.linalg.solve(curvature, slope).astype(np.float64)
            if np.abs(step).max() < _SMALLEST_STEP:
                return values + step
            values = values + self._shortened(counts, values, step)
        raise InputError(
            f"strengths were not found in {_MOST_STEPS} steps; give a prior nearer to {PRIOR}, or more votes"
        )

    def _shortened(self, counts: Float64s, values: Float64s, step: Float64s) -> Float64s:
        """Newton's step, halved until it leads upward: where the likelihood is flat, a whole one overshoots."""
        step = step * min(1.0, _LONGEST_STEP / np.abs(step).max())
        before = self._log_likelihood(counts, values)
        while np.abs(step).max() > _SMALLEST_STEP and self._log_likelihood(counts, values + step) < before:
            step = step / 2.0
        return step

    def _log_likelihood(self, counts: Float64s, values: Float64s) -> float:
        logits = self._logits(values)
        logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return float((counts * np.where(counts > 0, logs, 0.0)).sum())

    def _logits(self, values: Float64s) -> Float64s:
        """(rows, 3) log-odds of the outcomes of each row."""
        logits = np.outer(self._design @ values[:-1], _HALVES)
        logits[:, 2] = values[-1] if self.has_ties else -np.inf
        return logits

    def _counts(self, taken: Int64s) -> Float64s:
        """(rows, 3) votes by pair and outcome."""
        times = np.bincount(taken, minlength=self.num_units).astype(np.float64)
        drawn = np.bincount(self._cells, weights=times[self._unit_of], minlength=self._prior.size)
        return drawn.reshape(self._prior.shape).astype(np.float64) + self._prior

    def _derivatives(self, counts: Float64s, values: Float64s) -> tuple[Float64s, Float64s]:
        """(M+1,) slope of the log-likelihood and (M+1, M+1) its curvature, sign turned."""
        chances, totals = softmax(self._logits(values)), counts.sum(axis=1)  # (rows, 3), (rows,)
        slope_by_row = counts @ _HALVES - totals * (chances @ _HALVES)
        spread = totals * (chances @ _HALVES**2 - (chances @ _HALVES) ** 2)
        across = -totals * (chances @ _HALVES) * chances[:, 2]
        ties = totals * chances[:, 2] * (1.0 - chances[:, 2])
        slope = np.append(self._design.T @ slope_by_row, (counts[:, 2] - totals * chances[:, 2]).sum())
        curvature = np.empty((len(values), len(values)))
        curvature[:-1, :-1] = self._design.T @ (spread[:, None] * self._design)
        curvature[:-1, -1] = curvature[-1, :-1] = self._design.T @ across
        curvature[-1, -1] = ties.sum() if self.has_ties else 1.0  # without ties ln v stays where it began
        return slope, curvature


def _centred(values: Float64s) -> list[float]:
    strengths: list[float] = (values[:-1] - values[:-1].mean()).tolist()
    return strengths


def _pair(vote: PreferenceVote) -> tuple[str, str]:
    return min(vote.first, vote.second), max(vote.first, vote.second)


def _unit(vote: PreferenceVote, number: int) -> str | int:
    return vote.unit or number


def _outcome(vote: PreferenceVote) -> int:
    """0 where the first of `_pair` is preferred, 1 where the second is, 2 for a tie."""
    if vote.preferred is Preferred.TIE:
        return 2
    return int((vote.preferred is Preferred.FIRST) != (vote.first < vote.second))


def _winner(vote: PreferenceVote) -> tuple[str, str]:
    """The model preferred, and the other; any order for a tie."""
    first_won = vote.preferred is Preferred.FIRST
    return (vote.first, vote.second) if first_won else (vote.second, vote.first)


def _strengths(
    votes: Sequence[PreferenceVote], values: Mapping[str, float], intervals: Mapping[str, Interval]
) -> tuple[Strength, ...]:
    wins, losses, ties = Counter[str](), Counter[str](), Counter[str]()
    for vote in votes:
        if vote.preferred is Preferred.TIE:
            ties.update((vote.first, vote.second))
        else:
            better, worse = _winner(vote)
            wins[better] += 1
            losses[worse] += 1
    ordered = sorted(values, key=lambda name: (-values[name], name))
    return tuple(
        Strength(
            name=name,
            value=values[name],
            interval=intervals[name],
            wins=wins[name],
            losses=losses[name],
            ties=ties[name],
        )
        for name in ordered
    )


def _warnings(votes: Sequence[PreferenceVote], names: Sequence[str]) -> list[str]:
    """A warning for each group that no model outside ever beat or tied: no finite likeliest strengths (Ford 1957)."""
    above: dict[str, set[str]] = {name: set() for name in names}  # models preferred to, or tied with, each
    for vote in votes:
        better, worse = _winner(vote)
        above[worse].add(better)
        if vote.preferred is Preferred.TIE:
            above[better].add(worse)
    reached = {name: _reachable(name, above) for name in names}
    groups = sorted({tuple(sorted(found)) for found in reached.values()})
    return [
        _separated(votes, group, [name for name in names if name not in group])
        for group in groups
        if len(group) < len(names) and all(reached[name] == set(group) for name in group)
    ]


def _separated(votes: Sequence[PreferenceVote], group: Sequence[str], others: Sequence[str]) -> str:
    compared = any((vote.first in group) != (vote.second in group) for vote in votes)
    how = "never lost to or tied with" if compared else "were never compared with"
    return f"{', '.join(group)} {how} {', '.join(others)}; their distance depends on the prior alone"


def _reachable(name: str, above: Mapping[str, set[str]]) -> set[str]:
    found, waiting = {name}, [name]
    while waiting:
        for other in above[waiting.pop()] - found:
            found.add(other)
            waiting.append(other)
    return found


def _check(votes: Sequence[PreferenceVote], prior: float) -> None:
    if not _LEAST_PRIOR <= prior < math.inf:
        raise ConfigError(f"prior is {prior}; it must be at least {_LEAST_PRIOR}, and {PRIOR} is usual")
    if not votes:
        raise InputError("there are no votes to rank models by; give at least 1")
    for number, vote in enumerate(votes, start=1):
        if vote.first == vote.second:
            raise InputError(f"vote {number} compares {vote.first!r} with itself; leave it out")
