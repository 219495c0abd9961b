"""How answers are made."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.errors import ConfigError

MOST_CHARACTERS = 10_000
"""Most characters of a question; a longer one is a document, and is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentAnswerConfig:
    """Settings of answers.

    Attributes:
        context_tokens: most tokens of the passages that a model reads; fewer where its context is shorter.
        sentences: most sentences that are quoted.
        near: a further sentence is quoted where its score is at least this share of the best one's.
        duplicate: share of a passage's words in one before it from which it is a duplicate.
        evidence: most sentences that one sentence of an answer rests on.
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
