"""Settings of chunks: how documents are divided."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from lavra.base.errors import ConfigError

LEAST_SIZE: Final = 8
"""Least `size` of chunks in tokens: the bytes of one character are up to four tokens of some tokenizers."""


class ChunkMethod(Enum):
    """The places where chunks end."""

    TOKENS = "tokens"  # after a number of tokens
    SENTENCE = "sentence"  # at the end of a sentence
    RECURSIVE = "recursive"  # at the last place of the highest rank: heading, paragraph, line, sentence, space
    HEADING = "heading"  # at the end of a section of the document
    CODE = "code"  # at the end of a definition
    SEMANTIC = "semantic"  # where the meaning of neighbouring sentences changes most


class SentenceRule(Enum):
    """The rule by which sentences end."""

    LAVRA = "lavra"  # `lavra.text.sentences`: marks of every script, titles and initials known
    SPACY = "spacy"  # spaCy's sentencizer, a rule without a model


@dataclass(frozen=True, kw_only=True)
class ChunkConfig:
    """Settings of chunks: how documents are divided.

    Attributes:
        method: where chunks end; without it `code` for source code, `heading` for a document with headings and
            `recursive` for the others.
        size: most tokens of a chunk.
        overlap: most tokens at the end of a chunk that the next chunk repeats.
        sentences: the rule that finds the ends of sentences, for the methods that need them.
        breakpoint_percentile: of `semantic`: neighbouring sentences whose distance is over this percentile of all
            distances of the document are divided.
    """

    method: ChunkMethod | None = None
    size: int = 200
    overlap: int = 32
    sentences: SentenceRule = SentenceRule.LAVRA
    breakpoint_percentile: float = 90.0

    def __post_init__(self) -> None:
        if self.size < LEAST_SIZE:
            raise ConfigError(f"size is {self.size} tokens; it must be at least {LEAST_SIZE}")
        if not 0 <= self.overlap <= self.size // 2:
            raise ConfigError(
                f"overlap is {self.overlap} tokens; it must be between 0 and half of size ({self.size // 2})"
            )
        if not 0 < self.breakpoint_percentile < 100:
            raise ConfigError(f"breakpoint_percentile is {self.breakpoint_percentile}; it must lie between 0 and 100")
