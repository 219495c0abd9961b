"""What is taught: an instruction with its answer, and a pair of texts that belong together."""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from lavra.base.types import Document

NUM_CHOICES: Final = 3
"""Answers offered where one of several is asked for."""

_OFFER: Final = "\n\n- "


class Instruction(NamedTuple):
    """One thing asked and answered.

    Attributes:
        kind: one of `KINDS`.
        instruction: what is asked.
        output: the answer.
        source: where it is from: document and line.
    """

    kind: str
    instruction: str
    output: str
    source: str

    @property
    def question(self) -> str:
        """What is asked, without the answers offered, which another document would not offer."""
        return self.instruction.partition(_OFFER)[0] if self.kind in CHOOSING else self.instruction


class Pair(NamedTuple):
    """Two texts that belong together.

    Attributes:
        kind: one of `PAIR_KINDS`.
        anchor: what is looked with.
        positive: what it is to find.
        source: where it is from: document and line.
    """

    kind: str
    anchor: str
    positive: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What one document gave.

    Attributes:
        instructions: in the order of the text.
        pairs: in the order of the text.
    """

    instructions: tuple[Instruction, ...] = ()
    pairs: tuple[Pair, ...] = ()


CODE_KINDS: Final = ("describe", "signature", "complete", "choose")
PROSE_KINDS: Final = ("continue", "section", "paragraph", "cloze", "summary")
KINDS: Final = (*CODE_KINDS, *PROSE_KINDS)
CHOOSING: Final = ("choose", "cloze")
"""Kinds whose answer is one of `NUM_CHOICES` offered: by guessing, one in as many is right."""

CODE_PAIRS: Final = ("signature", "question")
PROSE_PAIRS: Final = ("continue", "heading", "sentence")
PAIR_KINDS: Final = (*CODE_PAIRS, *PROSE_PAIRS)


Locate = Callable[[int], str]
"""Names a place of a document, given the character."""


def place_in(document: Document) -> Locate:
    """Places of a document as `source:line`."""
    ends = [match.end() for match in re.finditer("\n", document.text)]
    return lambda character: f"{document.source or document.id}:{bisect_right(ends, character) + 1}"


def draw_for(passage: str, seed: int) -> random.Random:
    """What is drawn of a passage; the same wherever it stands, so that one on both sides of the split is found out."""
    return random.Random(f"{seed} {passage}")


def size(text: str) -> int:
    """UTF-8 bytes."""
    return len(text.encode())


def with_offer(question: str, offered: list[str]) -> str:
    """A question and the answers to choose from, a line each."""
    return question + _OFFER + "\n- ".join(offered)
