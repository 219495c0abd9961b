"""The settings of grounding."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.errors import ConfigError
from lavra.ground.words import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundConfig:
    """When a sentence counts as supported.

    Attributes:
        coverage: share of the sentence's content words that its evidence must have.
        sentences: of the evidence that are read together, at most.
        entailed: probability of an entailment head from which a sentence with too few words in common is supported.
        contradicted: probability under which a sentence with enough words in common is not.
        head_languages: in which an entailment head is asked, where one is handed in (`judge_head` says which).
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
