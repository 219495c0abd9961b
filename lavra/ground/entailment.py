"""Judge whether an entailment head is good enough to use, by its card's results on held-out pairs.

A head is a folder of `lavra finetune --task classify` on pairs (premise, hypothesis) with the labels `entailment` and
`not_entailment`.  `scripts/entailment_head.py` makes one from ASSIN 2 (Portuguese, Real et al. 2020) and RTE (English,
Dagan et al. 2006) and writes its balanced accuracy on held-out pairs of each language on its card.  A head is asked
about sentences of a language only where that reaches `ENOUGH`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lavra.base.card import read_card
from lavra.base.errors import InputError
from lavra.ground.words import Language

ENOUGH: Final = 0.75
"""The balanced accuracy on held-out pairs from which a head is used."""
METRIC: Final = "entailment_balanced_accuracy"
"""The name of the metric on a head's card, which maps a language to its balanced accuracy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadVerdict:
    """The languages that a head may judge.

    Attributes:
        languages: the languages in which the head is good enough.
        balanced_accuracy: the head's balanced accuracy on held-out pairs of each language.
    """

    languages: frozenset[Language]
    balanced_accuracy: Mapping[Language, float]

    def __str__(self) -> str:
        accuracies = ", ".join(f"{language.value} {value:.3f}" for language, value in self.balanced_accuracy.items())
        asked = ", ".join(sorted(language.value for language in self.languages)) or "no language"
        return f"entailment head: asked in {asked}; held-out balanced accuracy {accuracies}, and {ENOUGH:g} is needed"


def judge_head(folder: Path) -> HeadVerdict:
    """Judge the head of a folder by its card.

    Raises:
        InputError: the folder has no card, or the card has no measurement.
    """
    measured = read_card(folder).metrics.get(METRIC)
    if not isinstance(measured, Mapping) or not measured:
        raise InputError(
            f"the card of {folder} has no {METRIC}: it was not measured on held-out pairs; "
            "scripts/entailment_head.py makes a head and measures it"
        )
    values = {language: float(measured[language.value]) for language in Language if language.value in measured}
    good = frozenset(language for language, value in values.items() if value >= ENOUGH)
    return HeadVerdict(languages=good, balanced_accuracy=values)
