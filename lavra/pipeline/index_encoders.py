"""Which encoder an index is made with: measured on held-out pairs beside BM25, within the time there is.

An index searches words in any case; an encoder is worth its time where words and meaning together find more of the
held-out passages than words alone.  Meaning alone is not among the choices, for an index has both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lavra.adapt.passage_scores import Bm25Scores, PassageScores, VectorScores
from lavra.base.arrays import Float64s
from lavra.base.errors import LavraError
from lavra.data.labelled.samples import PairSample, Place
from lavra.pipeline.lessons import Lessons
from lavra.rag.index.encoder import NamedEmbedder
from lavra.tasks.scoring.retrieval import rank_pairs

CUTOFF: Final = 5
_PAIRS: Final = 300  # held-out pairs that are looked for
_LEAST_PAIRS: Final = 20  # fewer choose nothing
_CONSTANT: Final = 60  # of reciprocal rank fusion, as in `lavra.rag.retrievers`
_TRIED: Final = 64  # texts by whose time the others are counted
_LEAST_READ: Final = 128  # tokens; an encoder that reads fewer gives vectors of chunks' beginnings


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """What opens encoders, handed in by whoever runs the pipeline.

    Attributes:
        open: a folder's encoder.
        others: folders of encoders besides the one that the run has taught.
    """

    open: Callable[[str], NamedEmbedder]
    others: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EncoderTrial:
    """An encoder as it was tried.

    Attributes:
        name: of its folder.
        found: share of held-out pairs whose passage is among the first, of words and meaning together; `None` where
            that was not measured.
        texts_per_second: that it reads.
        seconds: that the corpus would take.
        trouble: why it could not be tried; empty where it could.
    """

    name: str
    found: float | None = None
    texts_per_second: float = 0.0
    seconds: float = 0.0
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class ChosenArms:
    """What an index is searched by.

    Attributes:
        embedder: makes its vectors; `None` searches words alone.
        trials: of the encoders there were.
        words_found: share of pairs that words alone find; `None` where there were too few pairs.
        pairs: held-out pairs that were looked for.
        why: the choice in a sentence.
    """

    embedder: NamedEmbedder | None
    trials: tuple[EncoderTrial, ...]
    words_found: float | None
    pairs: int
    why: str


def choose_encoder(
    folders: Sequence[str], encoders: Encoders | None, lessons: Lessons, chunks: int, seconds: float
) -> ChosenArms:
    """The encoder with which most is found, of those for which there is time; none where words alone find as many.

    Args:
        folders: of encoders.
        encoders: what opens them; without it words alone are searched.
        lessons: whose held-out pairs are looked for.
        chunks: that the index will have, about.
        seconds: that the vectors may take.
    """
    if encoders is None or not folders:
        return _words_alone("there is no encoder")
    pairs = _heldout(lessons)
    if len(pairs) < _LEAST_PAIRS:
        return _words_alone(f"an encoder is chosen by {_LEAST_PAIRS} held-out pairs, and the text gave {len(pairs)}")
    words = Bm25Scores([pair.positive for pair in pairs])
    alone = _recall(pairs, words)
    opened, trials = {}, []
    for folder in folders:
        embedder, trial = _try(folder, encoders, pairs, words, chunks, seconds)
        trials.append(trial)
        if embedder is not None and trial.found is not None and trial.found > alone:
            opened[trial] = embedder
    best = max(opened, key=lambda trial: (trial.found or 0.0, trial.texts_per_second), default=None)
    why = _reason(best, trials, alone)
    return ChosenArms(
        embedder=None if best is None else opened[best],
        trials=tuple(trials),
        words_found=alone,
        pairs=len(pairs),
        why=why,
    )


def _words_alone(why: str) -> ChosenArms:
    return ChosenArms(embedder=None, trials=(), words_found=None, pairs=0, why=f"Words alone are searched: {why}.")


def _reason(best: EncoderTrial | None, trials: Sequence[EncoderTrial], alone: float) -> str:
    if best is not None:
        return (
            f"Words and meaning are searched together: with {best.name} they find {best.found:.1%} of held-out "
            f"passages among the first {CUTOFF}, and words alone {alone:.1%}."
        )
    measured = [trial for trial in trials if trial.found is not None]
    if not measured:
        return "Words alone are searched: there was no time for vectors."
    return (
        f"Words alone are searched: they find {alone:.1%} of held-out passages among the first {CUTOFF}, and no "
        "encoder that there was time for adds to that."
    )


def _try(
    folder: str,
    encoders: Encoders,
    pairs: Sequence[PairSample],
    words: Bm25Scores,
    chunks: int,
    seconds: float,
) -> tuple[NamedEmbedder | None, EncoderTrial]:
    name = Path(folder).name if Path(folder).name != "model" else Path(folder).parent.name
    try:
        embedder = _whole(encoders.open(folder))
        passages = list(words.passages)
        embedder.embed(passages[:2])  # warms up
        started = time.monotonic()
        embedder.embed(passages[:_TRIED])
        rate = min(_TRIED, len(passages)) / max(1e-6, time.monotonic() - started)
    except LavraError as error:
        return None, EncoderTrial(name=name, trouble=str(error))
    needed = chunks / rate
    if needed > seconds:
        return None, EncoderTrial(name=name, texts_per_second=rate, seconds=needed)
    found = _recall(pairs, FusedScores(words, VectorScores(embedder.embed, passages)))
    return embedder, EncoderTrial(name=name, found=found, texts_per_second=rate, seconds=needed)


def _whole(embedder: NamedEmbedder) -> NamedEmbedder:
    """An encoder that reads a few dozen tokens gets chunks of the usual size, and reads their beginnings."""
    if embedder.max_tokens is None or embedder.max_tokens >= _LEAST_READ:
        return embedder
    return NamedEmbedder(embedder, embedder.identity)


def _heldout(lessons: Lessons) -> list[PairSample]:
    """Held-out pairs of all kinds, the kinds taking turns as they were drawn."""
    if lessons.no_pairs:
        return []
    return [
        PairSample(anchor=one.anchor, positive=one.positive, place=Place(file=one.source, line=number))
        for number, one in enumerate(lessons.pairs("heldout")[:_PAIRS], start=1)
    ]


def _recall(pairs: Sequence[PairSample], searched: PassageScores) -> float:
    return float(rank_pairs(pairs, searched).recall(CUTOFF).mean())


class FusedScores:
    """Reciprocal rank fusion of two searches of the same passages (Cormack, Clarke and Büttcher 2009).

    Args:
        first: a search.
        second: another, of the same passages in the same order.
    """

    def __init__(self, first: PassageScores, second: PassageScores) -> None:
        assert first.passages == second.passages
        self._searches = (first, second)

    @property
    def passages(self) -> tuple[str, ...]:
        """Those of both."""
        return self._searches[0].passages

    def scores(self, queries: Sequence[str]) -> Float64s:
        """(Q, P): the sum of 1 / (60 + rank) over both; equal scores share the rank of the first of them."""
        fused: Float64s = sum(1.0 / (_CONSTANT + _ranks(search.scores(queries))) for search in self._searches)  # type: ignore[assignment]
        return fused


def _ranks(scores: np.ndarray) -> Float64s:
    """(Q, P): how many of a row score higher, and one."""
    ordered = np.sort(-scores, axis=1)
    return np.stack([1.0 + np.searchsorted(row, -own) for row, own in zip(ordered, scores, strict=True)])
