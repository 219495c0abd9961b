"""What a model can be adapted to do, by the words a user types.

The names are those of `lavra finetune --task` and `lavra predict --task`.  Data, heads, losses, predictions and scores
each have a table by `Task`; nothing branches on it elsewhere.
"""

from __future__ import annotations

from enum import Enum


class Task(Enum):
    """One kind of supervised task."""

    CLASSIFY = "classify"  # a text, or a pair of them, to labels or to a number
    NER = "ner"  # a label a word: named entities, parts of speech
    QA = "qa"  # the span of a passage that answers a question
    CHOICE = "choice"  # which of several endings fits
    EMBED = "embed"  # a text to a vector, near to those that mean the same
    RERANK = "rerank"  # how well a passage fits a query
    CHAT = "chat"  # the assistant's turns of conversations
    TEXT2TEXT = "text2text"  # one text to another


class Problem(Enum):
    """What the labels of a classification are; the names are those of Hugging Face's `problem_type`."""

    SINGLE_LABEL = "single_label_classification"
    MULTI_LABEL = "multi_label_classification"
    REGRESSION = "regression"
