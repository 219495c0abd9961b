"""`cloze`: a sentence without one of its words, and three words of the document, of which one is the missing word.

A guess is right once in three.  The choices begin alike (small or capital) and are about as long, so case and
length do not reveal the answer (Taylor 1953 invented the test; Hermann et al. 2015, arXiv:1506.03340, made it a task).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

from lavra.pipeline.samples.asking import Phrasing
from lavra.pipeline.samples.passages import Passages, SentenceRun
from lavra.pipeline.samples.sample import NUM_CHOICES, Instruction, Locate, draw_for, size, with_offer
from lavra.pipeline.samples.words import words_of
from lavra.text.sentences import has_unspaced_letters

GAP: Final = "___"
_SHORTEST: Final = 4  # letters of a missing word; shorter words are grammar
_LEAST: Final = 32  # bytes of a sentence
_LOOKED_AT: Final = 12  # words of the document; the most similar of these become the choices


def gaps(
    passages: Passages, runs: Sequence[SentenceRun], locate: Locate, asking: Phrasing, seed: int
) -> Iterator[Instruction]:
    """A sample of one sentence of each run of a paragraph."""
    known = sorted({word for word in words_of(passages.text) if _asked_for(word)})
    for run in runs:
        draw = draw_for(passages.part(run), seed)
        sentence = passages.sentence(draw.choice(run.sentences))
        words = [word for word in words_of(sentence) if _asked_for(word) and sentence.count(word) == 1]
        if size(sentence) < _LEAST or not words:
            continue
        word = draw.choice(words)
        others = _others(word, sentence, known, draw)
        if len(others) == NUM_CHOICES - 1:
            offered = [word, *others]
            draw.shuffle(offered)
            asked = f"{asking.word}\n\n{sentence.replace(word, GAP)}"
            yield Instruction("cloze", with_offer(asked, offered), word, locate(run.start))


def _asked_for(word: str) -> bool:
    return len(word) >= _SHORTEST or has_unspaced_letters(word)


def _others(word: str, sentence: str, known: Sequence[str], draw: random.Random) -> list[str]:
    """The most similar of some words drawn; words of the sentence and other spellings of the word are left out."""
    looked_at = draw.sample(known, min(_LOOKED_AT, len(known)))
    found = [one for one in looked_at if one.casefold() != word.casefold() and one not in sentence]
    found.sort(key=lambda one: (one[:1].isupper() != word[:1].isupper(), abs(len(one) - len(word))))
    return found[: NUM_CHOICES - 1]
