"""The settings of tuning, and the setups that are compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from lavra.base.errors import ConfigError
from lavra.text.chunking.config import ChunkConfig, ChunkMethod


class Search(Enum):
    """The arms that look for passages, and their fusion."""

    WORDS = "bm25"
    DENSE = "dense"
    HYBRID = "hybrid"  # both, fused as in an index that was not tuned
    WEIGHTED = "hybrid, weighted"  # both, fused by a weight learned from the questions


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningConfig:
    """Settings of tuning.

    Attributes:
        minutes: most minutes of one run; the same command goes on where it stopped.
        questions: number of questions made from the documents, where the user gives none or fewer.
        seed: decides the random choices.
        chunkings: ways of cutting documents beside the index's own; `None` takes the usual ways.
        rerank_depth: number of passages that a reranker reads for a question.
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
    """A way of cutting documents and searching them.

    Attributes:
        chunking: the way documents become chunks.
        search: the arms that search them.
        reranked: whether a reranker orders the first passages.
    """

    chunking: ChunkConfig
    search: Search
    reranked: bool = False


_SIZES: Final = (100, 400)
_METHODS: Final = (ChunkMethod.SENTENCE, ChunkMethod.TOKENS, ChunkMethod.SEMANTIC)


def usual_chunkings(current: ChunkConfig, *, longest: int | None, meaning: bool) -> tuple[ChunkConfig, ...]:
    """The ways of cutting that are compared, the index's own first, then other sizes, then other methods.

    Args:
        current: the index's own way.
        longest: most tokens that the encoder reads; `None` where there is no encoder or no limit.
        meaning: whether there is an encoder, which the semantic method needs.
    """
    sizes = [size for size in _SIZES if size != current.size and (longest is None or size <= longest)]
    found = [current]
    found += [replace(current, size=size, overlap=min(current.overlap, size // 4)) for size in sizes]
    found += [replace(current, method=method) for method in _METHODS if meaning or method is not ChunkMethod.SEMANTIC]
    return tuple(dict.fromkeys(found))


def chunking_name(chunking: ChunkConfig) -> str:
    """Describe a way of cutting in a few words.

    >>> chunking_name(ChunkConfig(size=200, overlap=32))
    'by kind, 200+32'
    """
    method = "by kind" if chunking.method is None else chunking.method.value
    return f"{method}, {chunking.size}+{chunking.overlap}"
