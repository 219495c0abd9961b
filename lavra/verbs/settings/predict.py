"""Settings of `lavra predict` and `lavra.predict`."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.data.labelled.columns import column_roles
from lavra.tasks.table import Task


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Settings of predicting with a task's head.

    Attributes:
        task: classify, tag, answer, choose or rerank; the model's own task unless given.
        columns: roles of columns, as role=column, such as text=review.
        header: whether the first row of a csv or tsv file names its columns; otherwise they are called 1, 2, ...
        pair: classify: the two texts are one pair.
        truncate: read only the beginning of a text that is too long, with a warning, instead of an error.
        allow_none: answer: a passage may have no answer.
        base: base model of an adapter, if it is not where the adapter's folder says.
        dtype: float32, bfloat16 or float16; float32 on a CPU and the checkpoint's own elsewhere unless given.
        device: cpu, cuda, cuda:1, ...; the best there is unless given.

    Example:
        >>> settings = lavra.PredictConfig(truncate=True)
        >>> lavra.predict("tiny-classifier", "a lovely film " * 99, settings=settings).truncated
        True
    """

    task: Task | None = None
    columns: tuple[str, ...] = ()
    header: bool = True
    pair: bool = False
    truncate: bool = False
    allow_none: bool = False
    base: str | None = None
    dtype: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        column_roles(self.columns)
