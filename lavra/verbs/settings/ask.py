"""Settings of `lavra ask` and `lavra.ask`."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.retrieval import Unsupported
from lavra.base.types import Seed, Temperature
from lavra.verbs.settings.answering import AnsweringConfig


@dataclass(frozen=True, kw_only=True)
class AskConfig(AnsweringConfig):
    """Settings of `lavra ask`.

    Attributes:
        question: your question; without it a conversation begins.
        where: conditions on documents: FIELD=VALUE, FIELD!=VALUE, FIELD>=VALUE, FIELD<VALUE, FIELD=ONE,OTHER for one of
            several, FIELD~WORD,WORD for facts of several words.
        group: answer as a member of this group, who sees its documents and everyone's; without it you see all.
        k: most passages that are read.
        unsupported: mark sentences that no passage supports with [?], or remove them.
        max_tokens: most tokens that a model writes.
        temperature: 0 is greedy.
        seed: makes the model's text repeatable.

    Example:
        >>> settings = lavra.AskConfig(model="none", k=1)
        >>> answer = lavra.ask("When was the bridge opened?", "handbook", settings=settings, progress=False)
        >>> len(answer.passages)
        1
    """

    question: str | None = None
    where: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    k: int = 8
    unsupported: Unsupported = Unsupported.MARK
    max_tokens: int = 256
    temperature: Temperature = 0.0
    seed: Seed | None = None
