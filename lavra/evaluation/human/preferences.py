"""Preference pairs for alignment, from votes: `prompt`, `chosen`, `rejected`, as trl's trainers and lavra read them.

The votes of all judges on one comparison make one pair: the answer with more votes is chosen.  If both have equally
many votes there is no pair, and the comparison is counted.
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
        prompt: text that both models were asked.
        chosen: the better answer.
        rejected: the worse answer.
        chosen_model: model that wrote the better answer.
        rejected_model: model that wrote the worse answer.
        votes: number of votes for the better answer.
        votes_against: number of votes for the worse answer.
        ties: number of votes for neither.
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
        """The pair as plain data, for a line of a file."""
        return {name: getattr(self, name) for name in PAIR_COLUMNS}


PAIR_COLUMNS = tuple(PreferencePair.__dataclass_fields__)


def preference_pairs(votes: Iterable[Vote]) -> tuple[list[PreferencePair], int]:
    """Make a pair of each comparison that has a majority, and count the comparisons without a majority."""
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
