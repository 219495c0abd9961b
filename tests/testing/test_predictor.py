"""The suite of predictors: a share of letters passes, and each broken variant fails."""

from __future__ import annotations

from dataclasses import replace

from lavra.base.errors import InputError
from lavra.base.predictions import Classification, ClassifyRequest, Prediction, TagRequest
from lavra.testing.predictor import PredictorConformance
from tests.testing.suites import check


class ToyPredictor:
    """The share of a text's letters that are `e`."""

    task = "classify"
    labels = ()

    def predict(self, requests):
        return [self.answer(one) for one in requests]

    def answer(self, request):
        if type(request) is not ClassifyRequest:
            raise InputError("this model was finetuned for 'classify'")
        share = request.text.count("e") / len(request.text)
        return Prediction(value=Classification(value=share), num_tokens=len(request.text))


class Silent(ToyPredictor):
    def answer(self, request):
        return replace(super().answer(request), num_tokens=0)


class Sorted(ToyPredictor):
    def predict(self, requests):
        return super().predict(sorted(requests, key=lambda one: one.text if type(one) is ClassifyRequest else ""))


class Compared(ToyPredictor):
    """Scores depend on the number of texts in a call."""

    def predict(self, requests):
        found = super().predict(requests)
        return [replace(one, value=Classification(value=one.value.value / len(found))) for one in found]


class Eager(ToyPredictor):
    def predict(self, requests):
        return super().predict(requests or [ClassifyRequest(text="nothing")])


class Willing(ToyPredictor):
    def answer(self, request):
        return super().answer(ClassifyRequest(text=request.text))


class Mute(ToyPredictor):
    """Refuses without naming the purpose of the head."""

    def answer(self, request):
        if type(request) is not ClassifyRequest:
            raise InputError("no")
        return super().answer(request)


class WithPredictor(PredictorConformance):
    def __init__(self, predictor):
        self.predictor = predictor

    def make_predictor(self):
        return self.predictor

    def requests(self):
        return [ClassifyRequest(text=text) for text in ("here", "a day", "three green trees")]

    def other_request(self):
        return TagRequest(text="here")


def test_predictors():
    company = {"company_and_order_change_nothing"}
    broken = {
        "silent": (lambda: WithPredictor(Silent()), {"every_prediction_says_what_was_read"}),
        "sorted": (lambda: WithPredictor(Sorted()), company),
        "compared": (lambda: WithPredictor(Compared()), company),
        "eager": (lambda: WithPredictor(Eager()), {"nothing_in_nothing_out"}),
        "willing": (lambda: WithPredictor(Willing()), {"another_heads_question_is_refused"}),
        "mute": (lambda: WithPredictor(Mute()), {"another_heads_question_is_refused"}),
        "no predictor": (lambda: WithPredictor(len), {"satisfies_the_protocol"}),
    }
    check(WithPredictor(ToyPredictor()), broken)
