"""`continue`: the beginning of a passage, and its continuation.

The passages of a text follow one another, so each of its sentences is asked or answered once.  As a pair for retrieval
the two halves belong together, though they need share no word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lavra.pipeline.samples.asking import Phrasing
from lavra.pipeline.samples.passages import Passages, SentenceRun
from lavra.pipeline.samples.sample import Instruction, Locate, Pair, size

_LEAST: Final = 24  # bytes of a half; shorter halves say too little


def continuations(passages: Passages, locate: Locate, asking: Phrasing, max_bytes: int) -> Iterator[Instruction | Pair]:
    """A sample and a pair of each run of sentences that is long enough."""
    for run in passages.runs(max_bytes):
        text = passages.part(run)
        border = _middle(text, run)
        beginning, rest = text[:border].rstrip(), text[border:].lstrip()
        if min(size(beginning), size(rest)) >= _LEAST:
            yield Instruction("continue", f"{asking.go_on}\n\n{beginning}", rest, locate(run.start))
            yield Pair("continue", beginning, rest, locate(run.start))


def _middle(text: str, run: SentenceRun) -> int:
    """The end of a sentence in the middle third; else a space there; else the middle."""
    half, third = len(text) // 2, len(text) // 6
    ends = [sentence.end - run.start for sentence in run.sentences[:-1]]
    borders = ends, [at for at in range(half - third, half + third + 1) if text[at : at + 1].isspace()], [half]
    nearest = (min(found, key=lambda at: abs(at - half)) for found in borders if found)
    return next(at for at in nearest if abs(at - half) <= third)
