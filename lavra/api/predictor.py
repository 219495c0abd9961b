"""The `Predictor` port on a model with a task's head in this process.

Requests of one kind are answered together, by the function of their task; `HeadedModel` sorts their texts by length
into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

from lavra.base.errors import InputError
from lavra.base.predictions import (
    AnswerRequest,
    ChooseRequest,
    ClassifyRequest,
    Prediction,
    PredictRequest,
    RankRequest,
    TagRequest,
)
from lavra.base.tasks import Problem, Task
from lavra.base.types import Completion, GenerateRequest, Score, ScoreRequest
from lavra.tasks.predicting.answer import predict_answers
from lavra.tasks.predicting.classify import predict_choices, predict_classes, predict_ranks
from lavra.tasks.predicting.headed import HeadedModel
from lavra.tasks.predicting.tag import predict_tags

_ANSWERS: Final[Mapping[type, Callable[[HeadedModel, Any], Sequence[Prediction[Any]]]]] = {
    ClassifyRequest: predict_classes,
    TagRequest: predict_tags,
    AnswerRequest: predict_answers,
    ChooseRequest: predict_choices,
    RankRequest: predict_ranks,
}
METHODS: Final = {
    Task.CLASSIFY: "classify",
    Task.NER: "tag",
    Task.QA: "answer",
    Task.CHOICE: "choose",
    Task.RERANK: "rerank",
}
"""What a `TextModel` calls each task."""


class HeadedPredictor:
    """The port.

    Args:
        headed: the model, its tokenizer and how much is computed at once.
    """

    def __init__(self, headed: HeadedModel) -> None:
        self.headed = headed

    @property
    def task(self) -> Task:
        """What the model was made for."""
        return self.headed.task

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels or tags; none where the outputs are numbers or places."""
        head = self.headed.model.task
        named = head.task in (Task.CLASSIFY, Task.NER) and head.problem is not Problem.REGRESSION
        return head.labels if named else ()

    def predict(self, requests: Sequence[PredictRequest]) -> list[Prediction[Any]]:
        """An answer to each request, in their order.

        Raises:
            InputError: the head was made for something else, or a text cannot be read.
            ContextLengthError: a text is too long and may not be cut, naming both lengths.
        """
        found: dict[int, Prediction[Any]] = {}
        for kind, answers in _ANSWERS.items():
            numbers = [number for number, request in enumerate(requests) if type(request) is kind]
            if numbers:
                told = answers(self.headed, [requests[number] for number in numbers])
                found.update(zip(numbers, told, strict=True))
        return [found[number] for number in range(len(requests))]


class NoWriter:
    """The `LanguageModel` port of a model with a task's head, which has no language model any more: it says so.

    Args:
        task: what the model is for.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Refuse."""
        self._refuse("scores no texts")

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """Refuse."""
        self._refuse("writes no text")

    def submit(self, request: GenerateRequest) -> NoReturn:
        """Refuse."""
        self._refuse("writes no text")

    def _refuse(self, what: str) -> NoReturn:
        raise InputError(
            f"this model has a head for {self.task.value!r} in the place of its language model, and {what}; "
            f"use {METHODS[self.task]}, or load the model it was made of"
        )
