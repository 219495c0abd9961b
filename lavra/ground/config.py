"""The settings of grounding."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.errors import ConfigError
from lavra.ground.words import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundConfig:
    """Settings that decide when a sentence counts as supported.

    Attributes:
        coverage: share of the sentence's content words that its evidence must have.
        sentences: most sentences of the evidence that are read together.
        entailed: probability of an entailment head from which it supports a sentence with too few words in common.
        contradicted: probability of the head under which a sentence with enough words in common is not supported.
        head_languages: languages in which an entailment head is asked, where a head is given (`judge_head` returns
            them).
    """

    coverage: float = 0.7
    sentences: int = 3
    entailed: float = 0.9
    contradicted: float = 0.1
    head_languages: tuple[Language, ...] = tuple(Language)

    def __post_init__(self) -> None:
        for name in ("coverage", "entailed", "contradicted"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}; give a share from 0 to 1")
        if self.sentences < 1:
            raise ConfigError(f"sentences is {self.sentences}; it must be at least 1")
