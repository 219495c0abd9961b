"""The `LanguageModel` port of a model that has a task's head and no language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from lavra.base.errors import InputError
from lavra.base.types import Completion, GenerateRequest, Score, ScoreRequest
from lavra.tasks.spec import TaskSpec


class NoWriter:
    """The `LanguageModel` port of a model with a task's head and without a language model; every call is an error.

    Args:
        task: task of the model.
    """

    def __init__(self, task: TaskSpec) -> None:
        self.task = task

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Refuse: the model has no language model."""
        self._refuse("scores no texts")

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """Refuse: the model has no language model."""
        self._refuse("writes no text")

    def submit(self, request: GenerateRequest) -> NoReturn:
        """Refuse: the model has no language model."""
        self._refuse("writes no text")

    def _refuse(self, what: str) -> NoReturn:
        raise InputError(
            f"this model has a head for {self.task.name!r} in the place of its language model, and {what}; "
            f"use {self.task.name}, or load the model it was made of"
        )
