"""Preference pairs for alignment, from votes: `prompt`, `chosen`, `rejected`, as trl's trainers and lavra read them.

The votes of all judges on one comparison are one pair: the answer with more votes is chosen.  Where both have equally
many there is no pair, and that is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lavra.evaluation.human.votes import Vote, Winner


@dataclass(frozen=True, kw_only=True)
class PreferencePair:
    """The better and the worse answer to one prompt.

    Attributes:
        prompt: what both models were asked.
        chosen: the better answer.
        rejected: the other.
        chosen_model: who wrote the better one.
        rejected_model: who wrote the other.
        votes: for the better one.
        votes_against: for the other.
        ties: votes for neither.
    """

    prompt: str
    chosen: str
    rejected: str
    chosen_model: str
    rejected_model: str
    votes: int
    votes_against: int
    ties: int

    def record(self) -> dict[str, Any]:
        """As a line of a file has it."""
        return {name: getattr(self, name) for name in PAIR_COLUMNS}


PAIR_COLUMNS = tuple(PreferencePair.__dataclass_fields__)


def preference_pairs(votes: Iterable[Vote]) -> tuple[list[PreferencePair], int]:
    """One pair for each comparison that has a majority, and the number of those that have none."""
    tallies: dict[tuple[str, str, str], Counter[Winner]] = {}
    shown: dict[tuple[str, str, str], Vote] = {}
    for vote in votes:
        key = (vote.question_id, vote.model_a, vote.model_b)
        tallies.setdefault(key, Counter())[vote.winner] += 1
        shown.setdefault(key, vote)
    pairs = [_pair(shown[key], tally) for key, tally in sorted(tallies.items())]
    found = [pair for pair in pairs if pair is not None]
    return found, len(pairs) - len(found)


def _pair(vote: Vote, tally: Counter[Winner]) -> PreferencePair | None:
    a, b = tally[Winner.MODEL_A], tally[Winner.MODEL_B]
    if a == b:
        return None
    sides = [(vote.answer_a, vote.model_a, a), (vote.answer_b, vote.model_b, b)]
    (chosen, chosen_model, more), (rejected, rejected_model, fewer) = sides if a > b else sides[::-1]
    return PreferencePair(
        prompt=vote.prompt,
        chosen=chosen,
        rejected=rejected,
        chosen_model=chosen_model,
        rejected_model=rejected_model,
        votes=more,
        votes_against=fewer,
        ties=tally[Winner.TIE],
    )
