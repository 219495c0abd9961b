"""Choose the encoder of an index: measure each on held-out pairs beside BM25, within the time available.

An index searches words in any case; an encoder is worth its time where words and meaning together find more of the
held-out passages than words alone.  Meaning alone is not among the choices, because an index has both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lavra.adapt.passage_scores import Bm25Scores, PassageScores, VectorScores
from lavra.base.arrays import Float32s, Float64s
from lavra.base.errors import LavraError
from lavra.base.ports import Embedder
from lavra.data.labelled.samples import PairSample, Place
from lavra.pipeline.training_samples import TrainingSamples
from lavra.rag.index.encoder import NamedEmbedder
from lavra.tasks.scoring.retrieval import rank_pairs
from lavra.text.chunking.tokens import TokenSpans

CUTOFF: Final = 5
_PAIRS: Final = 300  # held-out pairs that are looked for
_LEAST_PAIRS: Final = 20  # with fewer pairs no encoder is chosen
_CONSTANT: Final = 60  # constant of reciprocal rank fusion, as in `lavra.rag.retrievers`
_TRIED: Final = 64  # texts to time; the time of all texts follows from it
_LEAST_READ: Final = 128  # tokens; an encoder that reads fewer gives vectors of chunks' beginnings


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """The function that opens encoders, given by the caller of the pipeline, and more folders to try.

    Attributes:
        open: opens the encoder of a folder.
        others: folders of encoders besides the encoder of this run.
    """

    open: Callable[[str], NamedEmbedder]
    others: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EncoderTrial:
    """The trial of an encoder.

    Attributes:
        name: name of the encoder's folder.
        found: share of held-out pairs whose passage is among the first results, by words and meaning together; `None`
            where it was not measured.
        texts_per_second: speed of embedding, in texts a second.
        seconds: estimated time to embed the corpus.
        issue: the reason why the trial failed; empty where it succeeded.
        first_tokens: number of tokens at the beginning of a chunk that the encoder reads; 0 where it reads the whole
            chunk.
    """

    name: str
    found: float | None = None
    texts_per_second: float = 0.0
    seconds: float = 0.0
    issue: str = ""
    first_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class ChosenArms:
    """The search methods of an index: words, and the chosen encoder.

    Attributes:
        embedder: makes its vectors; `None` searches words alone.
        trials: trials of the available encoders.
        words_found: share of pairs that words alone find; `None` where there are too few pairs.
        pairs: number of held-out pairs searched for.
        why: the reason for the choice, in a sentence.
    """

    embedder: NamedEmbedder | None
    trials: tuple[EncoderTrial, ...]
    words_found: float | None
    pairs: int
    why: str


def choose_encoder(
    folders: Sequence[str], encoders: Encoders | None, training_samples: TrainingSamples, chunks: int, seconds: float
) -> ChosenArms:
    """Choose the encoder that finds the most pairs within the time; choose none where words alone find as many.

    Args:
        folders: folders of encoders to try.
        encoders: opens the folders; without it the index searches words alone.
        training_samples: the samples; their held-out pairs are searched for.
        chunks: approximate number of chunks in the index.
        seconds: time limit for the vectors.
    """
    if encoders is None or not folders:
        return _words_alone("there is no encoder")
    pairs = _heldout(training_samples)
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
            + (f" Meaning is that of the first {best.first_tokens} tokens of a passage." if best.first_tokens else "")
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
        embedder, first_tokens = _of_usual_chunks(encoders.open(folder))
        passages = list(words.passages)
        embedder.embed(passages[:2])  # warms up
        started = time.monotonic()
        embedder.embed(passages[:_TRIED])
        rate = min(_TRIED, len(passages)) / max(1e-6, time.monotonic() - started)
    except LavraError as error:
        return None, EncoderTrial(name=name, issue=str(error))
    needed = chunks / rate
    if needed > seconds:
        return None, EncoderTrial(name=name, texts_per_second=rate, seconds=needed)
    found = _recall(pairs, FusedScores(words, VectorScores(embedder.embed, passages)))
    trial = EncoderTrial(name=name, found=found, texts_per_second=rate, seconds=needed, first_tokens=first_tokens)
    return embedder, trial


def _of_usual_chunks(embedder: NamedEmbedder) -> tuple[NamedEmbedder, int]:
    """An encoder that reads few tokens gets usual chunks and reads their beginnings; also the tokens it reads, or 0."""
    most = embedder.max_tokens
    if most is None or most >= _LEAST_READ or embedder.tokens is None:
        return embedder, 0
    return NamedEmbedder(_Beginnings(embedder, embedder.tokens, most), embedder.identity), most


class _Beginnings:
    """An `Embedder` of the beginnings of texts.

    The texts are cut here, because an encoder warns of each text that it cuts.
    """

    def __init__(self, embedder: Embedder, tokens: TokenSpans, most: int) -> None:
        self._embedder, self._tokens, self._most = embedder, tokens, most

    def embed(self, texts: Sequence[str]) -> Float32s:
        return self._embedder.embed([self._beginning(text) for text in texts])

    def _beginning(self, text: str) -> str:
        spans = self._tokens(text)
        return text if len(spans) <= self._most else text[: spans[self._most - 1][1]]


def _heldout(training_samples: TrainingSamples) -> list[PairSample]:
    """Held-out pairs of all kinds in turn, each kind in the order drawn."""
    if training_samples.no_pairs:
        return []
    return [
        PairSample(anchor=one.anchor, positive=one.positive, place=Place(file=one.source, line=number))
        for number, one in enumerate(training_samples.pairs("heldout")[:_PAIRS], start=1)
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
        """The fused scores of both searches."""
        return self._searches[0].passages

    def scores(self, queries: Sequence[str]) -> Float64s:
        """(Q, P): the sum of 1 / (60 + rank) over both; equal scores share the rank of the first of them."""
        fused: Float64s = sum(1.0 / (_CONSTANT + _ranks(search.scores(queries))) for search in self._searches)  # type: ignore[assignment]
        return fused


def _ranks(scores: np.ndarray) -> Float64s:
    """The ranks, (Q, P), from 1: for each score, one more than the number of higher scores in its row."""
    ordered = np.sort(-scores, axis=1)
    return np.stack([1.0 + np.searchsorted(row, -own) for row, own in zip(ordered, scores, strict=True)])
