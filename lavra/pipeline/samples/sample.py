"""The two kinds of samples: an instruction with its answer, and a pair of texts that belong together."""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from lavra.base.types import Document

NUM_CHOICES: Final = 3
"""The number of choices in a multiple-choice question."""

_OFFER: Final = "\n\n- "


class Instruction(NamedTuple):
    """A question with its answer.

    Attributes:
        kind: one of `KINDS`.
        instruction: the question.
        output: the answer.
        source: document and line of the sample.
    """

    kind: str
    instruction: str
    output: str
    source: str

    @property
    def question(self) -> str:
        """The question without the choices, because another document would have other choices."""
        return self.instruction.partition(_OFFER)[0] if self.kind in CHOOSING else self.instruction


class Pair(NamedTuple):
    """Two texts that belong together.

    Attributes:
        kind: one of `PAIR_KINDS`.
        anchor: the query.
        positive: the passage that the query must find.
        source: document and line of the sample.
    """

    kind: str
    anchor: str
    positive: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The samples of one document.

    Attributes:
        instructions: instructions in the order of the text.
        pairs: pairs in the order of the text.
    """

    instructions: tuple[Instruction, ...] = ()
    pairs: tuple[Pair, ...] = ()


CODE_KINDS: Final = ("describe", "signature", "complete", "choose")
PROSE_KINDS: Final = ("continue", "section", "paragraph", "cloze", "summary")
KINDS: Final = (*CODE_KINDS, *PROSE_KINDS)
CHOOSING: Final = ("choose", "cloze")
"""Kinds whose answer is one of `NUM_CHOICES` choices: a guess is right once in `NUM_CHOICES`."""

CODE_PAIRS: Final = ("signature", "question")
PROSE_PAIRS: Final = ("continue", "heading", "sentence")
PAIR_KINDS: Final = (*CODE_PAIRS, *PROSE_PAIRS)


Locate = Callable[[int], str]
"""A function that names a place of a document, given the character."""


def place_in(document: Document) -> Locate:
    """Places of a document as `source:line`."""
    ends = [match.end() for match in re.finditer("\n", document.text)]
    return lambda character: f"{document.source or document.id}:{bisect_right(ends, character) + 1}"


def draw_for(passage: str, seed: int) -> random.Random:
    """The random generator of a passage.

    Equal passages get equal draws, so a passage on both sides of the split is detected.
    """
    return random.Random(f"{seed} {passage}")


def size(text: str) -> int:
    """The number of UTF-8 bytes of a text."""
    return len(text.encode())


def with_offer(question: str, offered: list[str]) -> str:
    """A question and the answers to choose from, a line each."""
    return question + _OFFER + "\n- ".join(offered)
