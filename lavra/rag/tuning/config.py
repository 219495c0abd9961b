"""How an index is tuned, and what is compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from lavra.base.errors import ConfigError
from lavra.text.chunking.config import ChunkConfig, ChunkMethod


class Search(Enum):
    """Which arms look for passages, and how they are fused."""

    WORDS = "bm25"
    DENSE = "dense"
    HYBRID = "hybrid"  # both, fused as an index is that was not tuned
    WEIGHTED = "hybrid, weighted"  # by a weight learned from the questions


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningConfig:
    """How an index is tuned.

    Attributes:
        minutes: that one run may take; the same command goes on where it stopped.
        questions: made from the documents, where the user gives none or fewer.
        seed: of what is drawn.
        chunkings: ways of cutting documents beside the index's own; `None` takes the usual ones.
        rerank_depth: passages that a reranker reads for a question.
    """

    minutes: float = 10.0
    questions: int = 100
    seed: int = 0
    chunkings: tuple[ChunkConfig, ...] | None = None
    rerank_depth: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.minutes < float("inf"):
            raise ConfigError(f"minutes is {self.minutes}; it must be over 0, and 10 is usual")
        if self.questions < 2:
            raise ConfigError(f"questions is {self.questions}; at least 2 are needed, and 100 tell more")
        if self.rerank_depth < 2:
            raise ConfigError(f"rerank_depth is {self.rerank_depth}; a reranker orders at least 2 passages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One way of cutting documents and searching them.

    Attributes:
        chunking: how documents become chunks.
        search: which arms look for them.
        reranked: whether a reranker orders the first of them.
    """

    chunking: ChunkConfig
    search: Search
    reranked: bool = False


_SIZES: Final = (100, 400)
_METHODS: Final = (ChunkMethod.SENTENCE, ChunkMethod.TOKENS, ChunkMethod.SEMANTIC)


def usual_chunkings(current: ChunkConfig, *, longest: int | None, meaning: bool) -> tuple[ChunkConfig, ...]:
    """The ways of cutting that are compared, the index's own first, then other sizes, then other methods.

    Args:
        current: of the index.
        longest: tokens that the encoder reads; `None` where there is none, or it has no bound.
        meaning: whether there is an encoder, which the semantic method needs.
    """
    sizes = [size for size in _SIZES if size != current.size and (longest is None or size <= longest)]
    found = [current]
    found += [replace(current, size=size, overlap=min(current.overlap, size // 4)) for size in sizes]
    found += [replace(current, method=method) for method in _METHODS if meaning or method is not ChunkMethod.SEMANTIC]
    return tuple(dict.fromkeys(found))


def chunking_name(chunking: ChunkConfig) -> str:
    """A way of cutting in a few words.

    >>> chunking_name(ChunkConfig(size=200, overlap=32))
    'by kind, 200+32'
    """
    method = "by kind" if chunking.method is None else chunking.method.value
    return f"{method}, {chunking.size}+{chunking.overlap}"
