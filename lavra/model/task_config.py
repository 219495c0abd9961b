"""The task of a head: the kind of head, the labels, and the task's names in model folders.

No torch: opening a folder, predicting and serving read this module, on any runner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lavra.base.config import from_mapping, to_mapping
from lavra.base.errors import ConfigError
from lavra.base.tasks import HeadKind, Problem

SPAN_LABELS = ("start", "end")
"""The two outputs of a head for spans."""

HEADS: Final[Mapping[str, HeadKind]] = {
    "classify": HeadKind.SEQUENCE,
    "rerank": HeadKind.SEQUENCE,
    "ner": HeadKind.TOKEN,
    "qa": HeadKind.SPAN,
    "choice": HeadKind.CHOICE,
}
"""Kind of head by the task's name in model folders and cards; files name the kind itself if it is another."""

NO_DECODER_START: Final = "this model's config.json names no decoder_start_token_id; T5's is its padding token"
"""The error message for an encoder-decoder whose decoder cannot read a text behind its first token."""


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The configuration of a task's head.

    Attributes:
        task: name of the task in files, such as `ner`.
        head: kind of the head.
        labels: names of the outputs, in their order; a single nameless output (`score`) for regression, reranking and
            choices, two for spans.
        problem: kind of a classification's labels.
        dropout: share of the head's inputs dropped in training; None is the dropout of the family's head.
    """

    task: str
    head: HeadKind
    labels: tuple[str, ...]
    problem: Problem | None = None
    dropout: float | None = None

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels) or not self.labels:
            raise ConfigError(f"labels are {self.labels}; give at least one, each once")
        if self.head is HeadKind.CHOICE and len(self.labels) != 1:
            raise ConfigError(f"task {self.task} has {len(self.labels)} labels; it has one output, the score")
        if self.problem is Problem.REGRESSION and len(self.labels) != 1:
            raise ConfigError(f"a regression has one output, the number, and here {len(self.labels)} labels are given")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}; give 0 or more and less than 1")

    @classmethod
    def of(
        cls, head: HeadKind, labels: tuple[str, ...] = (), problem: Problem | None = None, *, task: str | None = None
    ) -> TaskConfig:
        """The configuration of a head with these labels; kinds without labels of their own need none.

        Args:
            head: its kind.
            labels: names of the outputs.
            problem: kind of a sequence's labels; single labels unless given.
            task: name of the task in files; the usual name of the kind unless given.
        """
        if head is HeadKind.CHOICE or problem is Problem.REGRESSION:
            labels = ("score",)
        if head is HeadKind.SPAN:
            labels = SPAN_LABELS
        if head is HeadKind.SEQUENCE and problem is None:
            problem = Problem.SINGLE_LABEL
        word = task or next(word for word, kind in HEADS.items() if kind is head)
        return cls(task=word, head=head, labels=labels, problem=problem)

    def says_the_same(self, other: TaskConfig) -> bool:
        """Whether outputs of both heads mean the same; dropout is ignored."""
        return replace(self, dropout=None) == replace(other, dropout=None)

    @property
    def named_head(self) -> str | None:
        """The kind of head, if the task's name does not determine it."""
        return None if HEADS.get(self.task) is self.head else self.head.value

    def to_facts(self) -> dict[str, Any]:
        """Plain data for a card; `from_facts` reads it back."""
        facts = to_mapping(self)
        facts.pop("head")
        return facts if self.named_head is None else {**facts, "head": self.named_head}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], where: str = "") -> TaskConfig:
        """Read the result of `to_facts`.

        Raises:
            ConfigError: the facts are not of this form.
        """
        head = HEADS.get(str(facts.get("task")))
        return from_mapping(cls, {"head": None if head is None else head.value, **facts}, where)
