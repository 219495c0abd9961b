"""What tasks are told apart by below `lavra.tasks`: the kind of head a model has, and the kind of labels."""

from __future__ import annotations

from enum import Enum


class HeadKind(Enum):
    """What a head gives logits for; `transformers` has a class for each."""

    SEQUENCE = "sequence"  # a text, or a pair of them: (B, N)
    TOKEN = "token"  # each token of a text: (B, T, N)
    SPAN = "span"  # where a span of a passage begins and ends: (B, T, 2)
    CHOICE = "choice"  # one of several texts: (B * choices, 1)


class Problem(Enum):
    """What the labels of a classification are; the names are those of Hugging Face's `problem_type`."""

    SINGLE_LABEL = "single_label_classification"
    MULTI_LABEL = "multi_label_classification"
    REGRESSION = "regression"
