"""`summary`: a paragraph, and its sentence that is most similar to all others.

The most central sentence stands for the paragraph: the one with the highest mean cosine to the others, of counts of
words (degree centrality of LexRank, Erkan & Radev 2004, JAIR 22, section 3; without its threshold and inverse document
frequency).  The first of equals is taken, as beginnings say more.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from lavra.pipeline.samples.asking import Phrasing
from lavra.pipeline.samples.passages import Passages, SentenceRun
from lavra.pipeline.samples.sample import Instruction, Locate
from lavra.pipeline.samples.words import words_of

_LEAST_SENTENCES: Final = 3  # two sentences are equally similar to each other
_LEAST_WORDS: Final = 4  # fewest words of the central sentence


def summaries(
    passages: Passages, runs: Sequence[SentenceRun], locate: Locate, asking: Phrasing
) -> Iterator[Instruction]:
    """A sample of each run of a paragraph that has three sentences or more."""
    for run in runs:
        sentences = [passages.sentence(one) for one in run.sentences]
        counts = [Counter(word.casefold() for word in words_of(one)) for one in sentences]
        if len(sentences) < _LEAST_SENTENCES:
            continue
        central = most_central(counts)
        if counts[central].total() >= _LEAST_WORDS:
            asked = f"{asking.summary}\n\n{passages.part(run)}"
            yield Instruction("summary", asked, sentences[central], locate(run.start))


def most_central(counts: Sequence[Mapping[str, int]]) -> int:
    """The index of the text that is most similar to the others, given the word counts of each.

    Args:
        counts: word counts of at least two texts.
    """
    likeness = [sum(_cosine(one, other) for other in counts if other is not one) for one in counts]
    return max(range(len(counts)), key=lambda place: (round(likeness[place], 9), -place))


def _cosine(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """The cosine of two vectors of counts; 0 where either is empty."""
    product = sum(number * other.get(word, 0) for word, number in one.items())
    return product / (_norm(one) * _norm(other)) if product else 0.0


def _norm(counts: Mapping[str, int]) -> float:
    return math.sqrt(sum(number * number for number in counts.values()))
