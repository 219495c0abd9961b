"""The settings of answering."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.errors import ConfigError

MOST_CHARACTERS = 10_000
"""The most characters of a question; a longer text is a document, and is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentAnswerConfig:
    """Settings of answers.

    Attributes:
        context_tokens: most tokens of the passages that a model reads; a shorter context holds fewer.
        sentences: most sentences that are quoted.
        near: share of the best sentence's score from which a further sentence is quoted.
        duplicate: share of a passage's words in an earlier passage from which it is a duplicate.
        evidence: most sentences that support a sentence of an answer.
    """

    context_tokens: int = 1000
    sentences: int = 2
    near: float = 0.9
    duplicate: float = 0.9
    evidence: int = 3

    def __post_init__(self) -> None:
        for name in ("context_tokens", "sentences", "evidence"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("near", "duplicate"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be over 0 and at most 1")
