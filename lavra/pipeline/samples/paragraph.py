"""`paragraph`: a sentence, and its whole paragraph; as a pair, `sentence`: the sentence, and the rest of the paragraph.

The pair is the inverse cloze task (Lee et al. 2019, arXiv:1906.00300): the sentence is taken out of its paragraph, so
that a search must match its meaning and not the sentence itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from lavra.pipeline.samples.asking import Phrasing
from lavra.pipeline.samples.passages import Passages, SentenceRun
from lavra.pipeline.samples.sample import Instruction, Locate, Pair, draw_for, size

_LEAST: Final = 24  # bytes of the sentence in a question, and of the rest of the paragraph


def paragraphs(
    passages: Passages, runs: Sequence[SentenceRun], locate: Locate, asking: Phrasing, seed: int
) -> Iterator[Instruction | Pair]:
    """A sample and a pair of each run of sentences of a paragraph, with one of them drawn."""
    for run in runs:
        asked = draw_for(passages.part(run), seed).choice(run.sentences)
        sentence, whole = passages.sentence(asked), passages.part(run)
        before = passages.text[run.start : asked.start].rstrip()
        others = f"{before} {passages.text[asked.end : run.end].lstrip()}".strip()
        if len(run.sentences) > 1 and min(size(sentence), size(others)) >= _LEAST:
            yield Instruction("paragraph", f"{asking.paragraph}\n\n{sentence}", whole, locate(run.start))
            yield Pair("sentence", sentence, others, locate(run.start))
