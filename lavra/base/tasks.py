"""The distinctions between tasks that lower floors need: the kind of a model's head, and the kind of its labels."""

from __future__ import annotations

from enum import Enum


class HeadKind(Enum):
    """The unit to which a head gives logits; `transformers` has a class for each."""

    SEQUENCE = "sequence"  # a text, or a pair of them: (B, N)
    TOKEN = "token"  # each token of a text: (B, T, N)
    SPAN = "span"  # where a span of a passage begins and ends: (B, T, 2)
    CHOICE = "choice"  # one of several texts: (B * choices, 1)


class Problem(Enum):
    """The kind of a classification's labels; the names are those of Hugging Face's `problem_type`."""

    SINGLE_LABEL = "single_label_classification"
    MULTI_LABEL = "multi_label_classification"
    REGRESSION = "regression"
