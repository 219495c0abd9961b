"""The agreement of annotators: Krippendorff's alpha over all of them, Cohen's kappa for every two.

Ratings are ranks (alpha's ordinal distance, kappa with quadratic weights), votes are names (nominal).  If all
annotators always gave the same value, neither figure is defined; the result says so in words, and nothing is NaN.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lavra.base.arrays import Float64s, Int64s
from lavra.metrics.agreement import Difference, cohen_kappa, krippendorff_alpha
from lavra.metrics.intervals import Interval, score_intervals

ValuesGiven = Mapping[tuple[str, int], int]
"""The values that annotators gave items: a number by (annotator, item)."""


@dataclass(frozen=True, kw_only=True)
class KappaOfTwo:
    """The agreement of two annotators.

    Attributes:
        first: name of the first annotator.
        second: name of the second annotator.
        kappa: Cohen's kappa, `None` where it is not defined.
        num_items: number of items that both judged.
    """

    first: str
    second: str
    kappa: float | None
    num_items: int


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The agreement of all annotators, on one scale or on votes.

    Attributes:
        about: name of the scale, or `preference`.
        alpha: Krippendorff's alpha, `None` where it is not defined.
        interval: bootstrap interval of alpha over items, where that is defined.
        num_items: number of items that at least two annotators judged.
        kappas: the agreement of every two annotators with a common item.
        undefined: the reason why alpha is not defined; empty if it is.
    """

    about: str
    alpha: float | None
    interval: Interval | None
    num_items: int
    kappas: tuple[KappaOfTwo, ...] = ()
    undefined: str = ""

    @property
    def mean_kappa(self) -> float | None:
        """The mean kappa over pairs of annotators, weighted by the number of items that both judged."""
        known = [(one.kappa, one.num_items) for one in self.kappas if one.kappa is not None]
        total = sum(weight for _, weight in known)
        return sum(kappa * weight for kappa, weight in known) / total if total else None


def agreement(about: str, values: ValuesGiven, *, ordered: bool) -> Agreement:
    """Measure how far annotators agree.

    Args:
        about: name of the scale, or `preference`.
        values: values by (annotator, item), counted from 0.
        ordered: whether the values are ranks.
    """
    table = _table(values)
    judged = table[:, (~np.isnan(table)).sum(axis=0) >= 2] if table.size else table
    num_items = judged.shape[1]
    kappas = tuple(kappas_of_two(values, Difference.QUADRATIC if ordered else Difference.NOMINAL))
    if not num_items:
        why = "no item was judged by two annotators"
        return Agreement(about=about, alpha=None, interval=None, num_items=0, kappas=kappas, undefined=why)
    difference = Difference.ORDINAL if ordered else Difference.NOMINAL
    alpha = _or_none(krippendorff_alpha(judged, difference=difference))
    if alpha is None:
        why = "all annotators gave every item the same value, which chance would too"
        return Agreement(about=about, alpha=None, interval=None, num_items=num_items, kappas=kappas, undefined=why)
    return Agreement(
        about=about, alpha=alpha, interval=_interval(judged, difference), num_items=num_items, kappas=kappas
    )


def _table(values: ValuesGiven) -> Float64s:
    """(annotators, items) values, NaN where an annotator did not judge an item."""
    people = {name: at for at, name in enumerate(dict.fromkeys(name for name, _ in values))}
    items = {item: at for at, item in enumerate(dict.fromkeys(item for _, item in values))}
    table = np.full((len(people), len(items)), math.nan)
    for (name, item), value in values.items():
        table[people[name], items[item]] = value
    return table


def _interval(judged: Float64s, difference: Difference) -> Interval | None:
    def alpha(taken: Int64s) -> dict[str, float]:
        return {"alpha": krippendorff_alpha(judged[:, taken], difference=difference)}

    found = score_intervals(alpha, judged.shape[1])["alpha"]
    return None if math.isnan(found.low) else found


def kappas_of_two(values: ValuesGiven, difference: Difference) -> list[KappaOfTwo]:
    """Cohen's kappa of every two annotators with a common item.

    Args:
        values: values by (annotator, item), counted from 0.
        difference: distance of two values.
    """
    by_person: dict[str, dict[int, int]] = {}
    for (name, item), value in values.items():
        by_person.setdefault(name, {})[item] = value
    found = []
    for first, second in itertools.combinations(by_person, 2):
        both = sorted(by_person[first].keys() & by_person[second].keys())
        if both:
            one, other = (np.array([by_person[name][item] for item in both], np.int64) for name in (first, second))
            kappa = _or_none(cohen_kappa(one, other, difference=difference))
            found.append(KappaOfTwo(first=first, second=second, kappa=kappa, num_items=len(both)))
    return found


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
