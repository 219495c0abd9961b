"""The settings of `lavra distill`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lavra.base.errors import ConfigError
from lavra.distillation.config import AttentionConfig, DistillConfig, HiddenConfig
from lavra.tasks.learning.settings import SupervisedConfig


@dataclass(frozen=True, kw_only=True)
class DistillRunConfig(SupervisedConfig):
    """Settings of `lavra distill`.

    Attributes:
        task: the teacher's task: classify, tag, answer, choose, rerank, chat or rewrite.
        student: folder of the model that the student begins as; some of the teacher's layers otherwise.
        layers: layers of the student, evenly spaced; half of the teacher's, or all of `student`'s, unless given.
        temperature: temperature of both distributions; over 1 shows more of the teacher's odds for wrong answers.
        share: share of the loss from the teacher's logits; the rest is the labels'.
        hidden: weight of the distance of hidden states; 0 leaves them out.
        hidden_distance: mse or cosine.
        attention: weight of the divergence of attention; 0 leaves it out.
        attention_compare: maps or relations.
        cache: folder that keeps the teacher's logits of the training data, computed once, for later epochs
            and for later runs that name the folder.
        cache_top_k: likeliest tokens that are kept of a language model's logits; all logits of a task's head are.
        baseline: students trained the same way without the teacher, each from another seed, to compare with.
        baseline_from: folder of the model whose layers these begin as; the student's starting model otherwise,
            which owes much to the teacher where it is some of its layers.

    Example:
        >>> settings = lavra.DistillRunConfig(task="classify", data="reviews.csv", steps=1, temperature=4.0)
        >>> lavra.distill("tiny-classifier", settings=settings, name="softer", progress=False).steps
        1
    """

    student: Path | None = None
    layers: int | None = None
    temperature: float = 2.0
    share: float = 0.5
    hidden: float = 0.0
    hidden_distance: Literal["mse", "cosine"] = "mse"
    attention: float = 0.0
    attention_compare: Literal["maps", "relations"] = "maps"
    cache: Path | None = None
    cache_top_k: int = 64
    baseline: int = 0
    baseline_from: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task.head is None and self.task.writing is None:
            raise ConfigError(f"task {self.task.name} has nothing a student is taught; take one with a head, or chat")
        if self.baseline < 0:
            raise ConfigError(f"baseline is {self.baseline}; give a number of students, or 0 for none")
        if self.baseline_from is not None and not self.baseline:
            raise ConfigError("baseline_from is given and baseline is 0; say how many students, or leave it out")
        for name in ("hidden", "attention"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; give a weight, or 0 to leave it out")
        if self.cache is not None and (self.hidden or self.attention):
            raise ConfigError("hidden states and attention are not in a cache; leave cache out, or both of them")
        self.distilling()

    def distilling(self) -> DistillConfig:
        """The settings of imitation."""
        hidden = HiddenConfig(weight=self.hidden, distance=self.hidden_distance) if self.hidden else None
        attention = AttentionConfig(weight=self.attention, compare=self.attention_compare) if self.attention else None
        return DistillConfig(temperature=self.temperature, share=self.share, hidden=hidden, attention=attention)
