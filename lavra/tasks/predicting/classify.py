"""From a head's logits to labels, numbers, choices and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError
from lavra.base.predictions import (
    ChooseRequest,
    Classification,
    ClassifyRequest,
    Prediction,
    Ranked,
    RankRequest,
    TextOrPair,
)
from lavra.base.tasks import Problem
from lavra.metrics.probabilities import sigmoid, softmax
from lavra.tasks.choose import CHOOSE
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.predicting.headed import GroupLogits, HeadedModel, TextGroup
from lavra.tasks.rerank import RERANK

ValueT = TypeVar("ValueT")

HOLDS = 0.5
"""Probability over which one of several labels holds."""


def classify(model: HeadedModel, texts: Sequence[TextOrPair], *, truncate: bool = False) -> list[Classification]:
    """The labels of each text, or pair of texts, in their order.

    Args:
        model: finetuned for classification.
        texts: any number of them.
        truncate: read only the beginning of texts that are too long, instead of an error.

    Raises:
        InputError: the model has another head, or a text has no tokens.
        ContextLengthError: a text is too long, naming both lengths.
    """
    requests = [ClassifyRequest(text=text, truncate=truncate) for text in texts]
    return [one.value for one in predict_classes(model, requests)]


def predict_classes(model: HeadedModel, requests: Sequence[ClassifyRequest]) -> list[Prediction[Classification]]:
    """The labels as `classify` gives them, with the number of tokens read and warnings."""
    model.require(CLASSIFY)
    head = model.model.task
    groups = [
        TextGroup(texts=[one.text], truncate=one.truncate, name=f"text {number}") for number, one in enumerate(requests)
    ]
    return [
        _prediction(read_classification(found.logits[0], head.labels, head.problem, truncated=found.truncated), found)
        for found in model.read(groups)
    ]


def read_classification(
    logits: Float32s, labels: Sequence[str], problem: Problem | None, *, truncated: bool = False
) -> Classification:
    """(N,) logits as labels and their probabilities."""
    if problem is Problem.REGRESSION:
        return Classification(value=float(logits[0]), truncated=truncated)
    chances = sigmoid(logits) if problem is Problem.MULTI_LABEL else softmax(logits)
    scores = {label: float(chance) for label, chance in zip(labels, chances, strict=True)}
    best = labels[int(np.argmax(logits))]
    holding = tuple(label for label, chance in scores.items() if chance > HOLDS)
    return Classification(
        label=best,
        labels=holding if problem is Problem.MULTI_LABEL else (best,),
        scores=scores,
        truncated=truncated,
    )


def rerank(model: HeadedModel, query: str, texts: Sequence[str], *, truncate: bool = False) -> list[Ranked]:
    """The texts by their fit to a query, best first (ties by their order).

    Args:
        model: a cross-encoder: finetuned for reranking, or for regression on pairs.
        query: the text to search for.
        texts: the candidates.
        truncate: read only the beginning of texts that are too long.
    """
    request = RankRequest(query=query, texts=tuple(texts), truncate=truncate)
    return list(predict_ranks(model, [request])[0].value)


def predict_ranks(model: HeadedModel, requests: Sequence[RankRequest]) -> list[Prediction[tuple[Ranked, ...]]]:
    """The ranks as `rerank` gives them, for several queries, with the number of tokens read and warnings."""
    model.require(RERANK, CLASSIFY)
    if len(model.model.task.labels) != 1:
        raise InputError(
            f"this model has {len(model.model.task.labels)} labels, and a reranker has one output; "
            "finetune one with lavra finetune --task rerank"
        )
    groups = [
        TextGroup(
            texts=[(one.query, text) for text in one.texts],
            truncate=one.truncate,
            name=f"query {number}",
            part="document",
        )
        for number, one in enumerate(requests)
    ]
    return [_prediction(_ranked(found.logits[:, 0]), found) for found in model.read(groups)]


def _ranked(logits: Float32s) -> tuple[Ranked, ...]:
    """The ranks of (N,) logits, best first."""
    scores = sigmoid(logits)
    return tuple(Ranked(index=int(place), score=float(scores[place])) for place in np.argsort(-scores, kind="stable"))


def choose(model: HeadedModel, text: str, choices: Sequence[str], *, truncate: bool = False) -> Classification:
    """The best of several endings for a text; the labels of the answer are the choices' numbers, from 0."""
    return predict_choices(model, [ChooseRequest(text=text, choices=tuple(choices), truncate=truncate)])[0].value


def predict_choices(model: HeadedModel, requests: Sequence[ChooseRequest]) -> list[Prediction[Classification]]:
    """The choices as `choose` makes them, for several texts, with the number of tokens read and warnings."""
    model.require(CHOOSE)
    for number, one in enumerate(requests):
        if len(one.choices) < 2:
            raise InputError(f"text {number} has {len(one.choices)} choices; give at least two")
    groups = [
        TextGroup(
            texts=[(one.text, choice) for choice in one.choices],
            truncate=one.truncate,
            name=f"text {number}",
            part="choice",
        )
        for number, one in enumerate(requests)
    ]
    return [_prediction(_chosen(found), found) for found in model.read(groups)]


def _chosen(found: GroupLogits) -> Classification:
    labels = [str(number) for number in range(len(found.logits))]
    return read_classification(found.logits[:, 0], labels, Problem.SINGLE_LABEL, truncated=found.truncated)


def _prediction(value: ValueT, found: GroupLogits) -> Prediction[ValueT]:
    return Prediction(value=value, num_tokens=found.num_tokens, warnings=found.warnings)
