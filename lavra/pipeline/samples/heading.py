"""`section`: a heading, and the beginning of its section; as a pair, `heading`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from lavra.pipeline.samples.asking import Phrasing
from lavra.pipeline.samples.passages import Passages, SentenceRun
from lavra.pipeline.samples.sample import Instruction, Locate, Pair, size

_LEAST: Final = 48  # bytes of a section; less is a list or another heading


def sections(
    passages: Passages, runs: Sequence[SentenceRun], locate: Locate, asking: Phrasing
) -> Iterator[Instruction | Pair]:
    """A sample and a pair of each heading with text under it."""
    for run in runs:
        beginning = passages.part(run)
        if run.heading and size(beginning) >= _LEAST:
            yield Instruction("section", f"{asking.section}\n\n{run.heading}", beginning, locate(run.start))
            yield Pair("heading", run.heading, beginning, locate(run.start))
