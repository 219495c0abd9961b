"""From a head's logits to labels, numbers, choices and ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lavra.api.headed import HeadedModel, Logits
from lavra.base.errors import InputError
from lavra.base.predictions import Classification, Ranked, TextOrPair
from lavra.base.tasks import Problem, Task

HOLDS = 0.5
"""Probability over which one of several labels holds."""


def classify(model: HeadedModel, texts: Sequence[TextOrPair], *, truncate: bool = False) -> list[Classification]:
    """What each text, or pair of texts, is; in their order.

    Args:
        model: finetuned for classification.
        texts: any number of them.
        truncate: read only the beginning of texts that are too long, instead of an error.

    Raises:
        InputError: the model has another head, or a text has no tokens.
        ContextLengthError: a text is too long, naming both lengths.
    """
    model.require(Task.CLASSIFY)
    logits, cut = model.text_logits(texts, truncate=truncate)
    task = model.model.task
    return [
        read_classification(row, task.labels, task.problem, truncated=number in cut)
        for number, row in enumerate(logits)
    ]


def read_classification(
    logits: Logits, labels: Sequence[str], problem: Problem | None, *, truncated: bool = False
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
    """The texts by how well they fit a query, best first (ties by their order).

    Args:
        model: a cross-encoder: finetuned for reranking, or for regression on pairs.
        query: what is looked for.
        texts: what may fit.
        truncate: read only the beginning of what is too long.
    """
    model.require(Task.RERANK, Task.CLASSIFY)
    if len(model.model.task.labels) != 1:
        raise InputError(
            f"this model tells {len(model.model.task.labels)} labels apart and a reranker has one output; "
            "finetune one with lavra finetune --task rerank"
        )
    logits, _ = model.text_logits([(query, text) for text in texts], truncate=truncate)
    scores = sigmoid(logits[:, 0]) if len(texts) else np.zeros(0, dtype=np.float32)
    return [Ranked(index=int(place), score=float(scores[place])) for place in np.argsort(-scores, kind="stable")]


def choose(model: HeadedModel, text: str, choices: Sequence[str], *, truncate: bool = False) -> Classification:
    """Which of several endings fits a text best; the labels of the answer are the choices' numbers, from 0."""
    model.require(Task.CHOICE)
    if len(choices) < 2:
        raise InputError(f"{len(choices)} choices are given; give at least two")
    logits, cut = model.text_logits([(text, choice) for choice in choices], truncate=truncate)
    labels = [str(number) for number in range(len(choices))]
    return read_classification(logits[:, 0], labels, Problem.SINGLE_LABEL, truncated=bool(cut))


def softmax(logits: Logits) -> npt.NDArray[np.float64]:
    """(N,) probabilities that add up to 1."""
    raised: npt.NDArray[np.float64] = np.exp(logits.astype(np.float64) - float(logits.max()))
    return raised / float(raised.sum())


def sigmoid(logits: Logits) -> npt.NDArray[np.float64]:
    """The probability of each by itself."""
    chances: npt.NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
    return chances
