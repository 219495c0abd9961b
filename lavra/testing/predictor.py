"""Conformance suite of the `Predictor` port.

Subclass `PredictorConformance` in a test module (with a name starting with `Test`) and define how to make the predictor
and its requests; a model in this process, a batch worker and a remote URL are held to the same contract.

Deliberately absent: quality; a random head passes.
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from lavra.base.errors import InputError
from lavra.base.ports import Predictor
from lavra.base.predictions import Prediction


class PredictorConformance:
    """The contract of every `Predictor`.

    Attributes:
        tolerance: largest difference allowed between two scores of the same request.
    """

    tolerance: float = 1e-4

    def make_predictor(self) -> Predictor:
        """The predictor under test; called by every test, so cache it if it is slow to make."""
        raise NotImplementedError("a conformance suite says which predictor it tests")

    def requests(self) -> Sequence[Any]:
        """At least three requests that it can answer, of different lengths."""
        raise NotImplementedError("a conformance suite says what it asks")

    def other_request(self) -> Any:
        """A request of a task that the predictor was not made for."""
        raise NotImplementedError("a conformance suite says what another head is asked")

    def test_satisfies_the_protocol(self) -> None:
        assert isinstance(self.make_predictor(), Predictor)

    def test_nothing_in_nothing_out(self) -> None:
        assert self.make_predictor().predict([]) == []

    def test_company_and_order_change_nothing(self) -> None:
        predictor, requests = self.make_predictor(), self.requests()
        alone = [predictor.predict([request])[0] for request in requests]
        self.check_same(predictor.predict(requests), alone)
        self.check_same(predictor.predict(list(reversed(requests))), list(reversed(alone)))

    def test_every_prediction_says_what_was_read(self) -> None:
        for found in self.make_predictor().predict(self.requests()):
            assert found.num_tokens > 0

    def test_another_heads_question_is_refused(self) -> None:
        predictor = self.make_predictor()
        other = self.other_request()
        message = ""
        try:
            predictor.predict([other])
        except InputError as error:
            message = str(error)
        assert predictor.task in message, f"{other} was not refused by a head for {predictor.task}"

    def check_same(self, found: Sequence[Prediction[Any]], expected: Sequence[Prediction[Any]]) -> None:
        """Check that two predictions are equal but for rounding."""
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert self._alike(one, other), f"{one} is not {other}"

    def _alike(self, one: Any, other: Any) -> bool:
        if isinstance(one, float) and isinstance(other, float):
            return abs(one - other) <= self.tolerance
        if type(one) is not type(other):
            return False
        if is_dataclass(one):
            return all(self._alike(getattr(one, part.name), getattr(other, part.name)) for part in fields(one))
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(self._alike(one[key], other[key]) for key in one)
        if isinstance(one, tuple):
            return len(one) == len(other) and all(map(self._alike, one, other))
        return bool(one == other)
