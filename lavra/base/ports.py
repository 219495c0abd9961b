"""The ports of the house: protocols by which a package uses another package without naming its implementation.

Protocols of at most four methods.  Each port that has an implementation has a conformance suite in
`lavra.testing`; an implementation is right when that suite passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from lavra.base.predictions import Prediction, Ranked
from lavra.base.retrieval import Answer, AnswerDelta, Found, MetaValue, Question, SearchRequest, Where
from lavra.base.types import Completion, Delta, FillRequest, GenerateRequest, Score, ScoreRequest


@runtime_checkable
class LanguageModel(Protocol):
    """A model that scores and completes text."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Log-probabilities of given texts, in the order of the requests."""
        ...

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """`request.n` completions for each request, in the order of the requests, best first."""
        ...

    def submit(self, request: GenerateRequest) -> Stream:
        """Start one request, and return the stream of its text."""
        ...


@runtime_checkable
class Stream(Protocol):
    """A completion in progress."""

    def __iter__(self) -> Iterator[Delta]: ...

    def cancel(self) -> None:
        """Stop the completion, from any thread; the last delta then reports it."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """A model that turns texts into vectors."""

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors (N, D) float32, one row a text."""
        ...


@runtime_checkable
class Reranker(Protocol):
    """A model that reads a query and a text together and scores how well the text fits."""

    def rerank(self, query: str, texts: Sequence[str]) -> list[Ranked]:
        """Every text with its score from 0 to 1, the best first."""
        ...


@runtime_checkable
class Retriever(Protocol):
    """A search over the passages of indexed documents."""

    def search(self, request: SearchRequest) -> Found:
        """At most `request.k` passages, the best first.

        A chunk that the request's conditions or groups exclude influences neither the passages nor their scores' order.
        """
        ...


@runtime_checkable
class Answerer(Protocol):
    """A source of answers from indexed documents."""

    def answer(self, question: Question) -> Answer:
        """The whole answer."""
        ...

    def submit(self, question: Question) -> Iterator[AnswerDelta]:
        """The answer in pieces, while it is written; the last piece holds the whole answer."""
        ...


@runtime_checkable
class VectorStore(Protocol):
    """A store of vectors by number, which finds the nearest vectors by inner product.

    Vectors have unit length, so that an inner product is a cosine.
    """

    def add(
        self,
        ids: npt.NDArray[np.int64],
        vectors: npt.NDArray[np.float32],
        metadata: Sequence[Mapping[str, MetaValue]],
    ) -> None:
        """Add N vectors (N, D) under N ids, or replace the vectors of known ids; it adds all of them or none.

        Raises InputError for vectors of another width, or entries that are not finite.
        """
        ...

    def search(
        self, queries: npt.NDArray[np.float32], k: int, where: Where = ()
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """For Q queries (Q, D): ids (Q, k) and inner products (Q, k), the greatest first.

        Only vectors whose metadata meets every condition are found.  Where there are fewer than k, the rest of the ids
        is -1 and the rest of the products minus infinity.
        """
        ...

    def delete(self, ids: npt.NDArray[np.int64]) -> None:
        """Remove vectors; unknown ids are skipped."""
        ...

    def count(self, where: Where = ()) -> int:
        """The number of vectors whose metadata meets every condition."""
        ...


Gap = tuple[tuple[int, float], ...]
"""The candidates for one gap of a text: tokens and their natural-log probabilities, likeliest first."""


@runtime_checkable
class MaskFiller(Protocol):
    """A model that fills the gaps of texts."""

    def fill(self, requests: Sequence[FillRequest]) -> list[tuple[Gap, ...]]:
        """The gaps of each text from left to right, in the order of the requests."""
        ...


@runtime_checkable
class Predictor(Protocol):
    """A model with a task's head, which labels texts.

    One method serves all tasks, since a model has one head: the type of a request names the task.
    """

    @property
    def task(self) -> str:
        """Name of the model's task."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs, in their order; empty where the outputs are numbers or places."""
        ...

    def predict(self, requests: Sequence[Any]) -> list[Prediction[Any]]:
        """An answer to each request, in their order; InputError where the head was made for another task."""
        ...


@dataclass(slots=True, kw_only=True)  # not frozen: each token makes one, and freezing costs half a microsecond
class ForwardRow:
    """Tokens of one sequence to be read in one pass.

    Attributes:
        tokens: n ids, the next tokens of the sequence, at least one.
        start: tokens of the sequence already in its blocks; they stand at positions 0 to start - 1.
        blocks: the sequence's blocks in order; block i holds positions i * block_size onwards.
        num_logits: number of last tokens whose logits are wanted; 0 for part of a prompt.
        source: ids an encoder-decoder's encoder reads, given with every row of the sequence.
        adapter: the runner's adapter that acts on the row, the same for all rows of a sequence; `None` is none.
    """

    tokens: tuple[int, ...]
    start: int
    blocks: tuple[int, ...]
    num_logits: int = 0
    source: tuple[int, ...] | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardBatch:
    """The input of one pass of a runner.

    Attributes:
        rows: prompts, parts of prompts and single tokens mixed.
        copies: (from, to) blocks that are copied before any token is read or written.
    """

    rows: tuple[ForwardRow, ...]
    copies: tuple[tuple[int, int], ...] = ()


@runtime_checkable
class Runner(Protocol):
    """A computer of a model's logits over a paged key-value cache that it owns; it knows no requests and no sampling.

    Used by one thread at a time.

    Attributes:
        num_blocks: number of blocks in the cache.
        block_size: number of tokens in a block.
    """

    num_blocks: int
    block_size: int

    def forward(self, batch: ForwardBatch) -> npt.NDArray[np.float32]:
        """Read the rows' tokens into their blocks; (sum of num_logits, V) logits, in the order of the rows.

        Raises InputError for a row with an unknown adapter, before anything is written.
        """
        ...

    def close(self) -> None:
        """Release the memory."""
        ...


@runtime_checkable
class Hook(Protocol):
    """An observer of a training run; it may ask the loop to stop by returning True from `on_eval`."""

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Observe a step: `loss`, `gradient_norm`, `learning_rate`, `tokens`, `tokens_per_second`, `seconds`."""
        ...

    def on_eval(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Observe an evaluation; True asks the run to stop."""
        ...

    def on_save(self, step: int, folder: str) -> None:
        """Observe a checkpoint that was written to a folder."""
        ...

    def on_end(self, summary: Mapping[str, Any]) -> None:
        """Observe the end of the run."""
        ...


class Progress(Protocol):
    """A display of the progress of long work; the work calls it, and the terminal's owner implements it."""

    def __call__(self, step: str, done: float, total: float | None, note: str = "") -> None:
        """Show one state; called for every change.

        Args:
            step: name of the part of the work; another name begins another part.
            done: finished amount, in the unit of the work.
            total: whole amount, or None where that is not known.
            note: further text to show (`loss 2.31`).
        """
        ...


def silent(step: str, done: float, total: float | None, note: str = "") -> None:
    """Show nothing: the silent `Progress`."""
