"""The `Predictor` port on a model with a task's head in this process.

Requests of one kind are answered together, by the function of their task; `HeadedModel` sorts their texts by length
into batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lavra.base.errors import InputError
from lavra.base.lazy import resolve
from lavra.base.predictions import Prediction
from lavra.base.tasks import Problem
from lavra.tasks.predicting.headed import HeadedModel
from lavra.tasks.table import head_of, task_of_request


class HeadedPredictor:
    """The `Predictor` of a `HeadedModel`.

    Args:
        headed: the model, its tokenizer and the batch size.
    """

    def __init__(self, headed: HeadedModel) -> None:
        self.headed = headed

    @property
    def task(self) -> str:
        """Name of the task the model was made for."""
        return self.headed.spec.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels or tags; none where the outputs are numbers or places."""
        head = self.headed.model.task
        named = head_of(self.headed.spec).has_names and head.problem is not Problem.REGRESSION
        return head.labels if named else ()

    def predict(self, requests: Sequence[Any]) -> list[Prediction[Any]]:
        """An answer to each request, in their order.

        Raises:
            InputError: the head was made for something else, or a text cannot be read.
            ContextLengthError: a text is too long and may not be cut, naming both lengths.
        """
        groups: dict[type, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(type(request), []).append(number)
        found: dict[int, Prediction[Any]] = {}
        for kind, numbers in groups.items():
            task = task_of_request(requests[numbers[0]])
            if task is None:
                raise InputError(f"{kind.__name__} is not a request of a task; ask {self.task} what it answers")
            answered = resolve(head_of(task).predict)(self.headed, [requests[number] for number in numbers])
            found.update(zip(numbers, answered, strict=True))
        return [found[number] for number in range(len(requests))]
