"""The well-known names of columns, by task: what is found without being told.

A layout gives each role (what a task needs) the name of a column.  The names are those of GLUE, SuperGLUE, SQuAD,
CoNLL, Alpaca, ShareGPT, OpenAI, sentence-transformers, BGE and the Hugging Face data sets that follow them.
Optional columns may be missing: a file to be predicted has no labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lavra.base.tasks import Task


@dataclass(frozen=True, kw_only=True)
class ColumnLayout:
    """One way to name the columns of a task.

    Attributes:
        required: column by role; all of them must be there.
        optional: column by role, taken where it is there.
    """

    required: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> frozenset[str]:
        """Every column it names."""
        return frozenset(self.required.values()) | frozenset(self.optional.values())


@dataclass(frozen=True, kw_only=True)
class TaskColumns:
    """What the columns of a task are called.

    Attributes:
        layouts: ways to name its inputs (and outputs that come with them).
        extras: further roles, each with the names it goes by; none need be there.
    """

    layouts: tuple[ColumnLayout, ...]
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def roles(self) -> tuple[str, ...]:
        """Every role a user may give a column to."""
        named = [role for layout in self.layouts for role in (*layout.required, *layout.optional)]
        return tuple(dict.fromkeys([*named, *self.extras]))


def _each(roles: str, *columns: str) -> tuple[ColumnLayout, ...]:
    """A layout for each line of columns, all of them required."""
    return tuple(ColumnLayout(required=dict(zip(roles.split(), line.split(), strict=True))) for line in columns)


def _target(*pairs: str) -> tuple[ColumnLayout, ...]:
    """A layout for each `source target`, the target optional."""
    split = [pair.split() for pair in pairs]
    return tuple(ColumnLayout(required={"source": source}, optional={"target": target}) for source, target in split)


LABELS = ("label", "labels", "score", "class", "category", "sentiment", "target", "similarity", "stars", "rating")

_CLASSIFY = TaskColumns(
    layouts=(
        *_each("text", "text", "sentence", "content", "review", "comment", "tweet"),
        *_each(
            "text pair",
            "sentence1 sentence2",
            "premise hypothesis",
            "question sentence",
            "question1 question2",
            "question passage",
            "text1 text2",
            "text pair",
            "text text_pair",
        ),
    ),
    extras={"label": LABELS, "id": ("id",)},
)

_WORD_NAMES = ("words", "tokens")
_TAG_NAMES = {"tags": ("tags", "ner_tags", "pos_tags", "labels")}
_SPAN_NAMES = ("entities", "spans", "label", "labels", "annotations")

_NER = TaskColumns(
    layouts=(
        *(ColumnLayout(required={"words": name}) for name in _WORD_NAMES),
        *(
            ColumnLayout(required={"text": text, "entities": spans})
            for text in ("text", "sentence", "content")
            for spans in _SPAN_NAMES
        ),
        *_each("text", "text", "sentence"),
    ),
    extras={**_TAG_NAMES, "id": ("id",)},
)

_QA = TaskColumns(
    layouts=(
        ColumnLayout(required={"question": "question", "context": "context"}),
        ColumnLayout(required={"question": "question", "context": "passage"}),
        ColumnLayout(required={"question": "query", "context": "context"}),
        ColumnLayout(required={"question": "query", "context": "passage"}),
    ),
    extras={
        "answers": ("answers", "answer", "answer_text"),
        "start": ("answer_start", "start"),
        "impossible": ("is_impossible",),
        "id": ("id", "qid", "question_id"),
    },
)

_BEGINNINGS = ("text", "question", "query", "prompt", "premise", "context", "ctx", "goal", "sentence", "startphrase")

_CHOICE = TaskColumns(
    layouts=tuple(
        ColumnLayout(required={"text": text, "choices": choices})
        for text in _BEGINNINGS
        for choices in ("choices", "endings", "options")
    ),
    extras={"label": ("label", "answer", "answerKey", "gold", "answer_key", "labels", "target"), "id": ("id",)},
)

_EMBED = TaskColumns(
    layouts=tuple(
        ColumnLayout(required={"anchor": anchor, "positive": positive}, optional={"negatives": negatives})
        for anchor, positive, negatives in (
            ("anchor", "positive", "negative"),
            ("anchor", "positive", "negatives"),
            ("query", "positive", "negative"),
            ("query", "positive", "negatives"),
            ("query", "pos", "neg"),
        )
    )
    + _each(
        "anchor positive",
        "query passage",
        "question answer",
        "sentence1 sentence2",
        "text1 text2",
        "question1 question2",
        "premise hypothesis",
    ),
    extras={"score": ("score", "similarity", "label", "similarity_score", "relatedness_score"), "id": ("id",)},
)

_RERANK = TaskColumns(
    layouts=_each(
        "query passage", "query passage", "query document", "query text", "question passage", "question answer"
    )
    + tuple(
        ColumnLayout(required={"query": "query", "positives": positive}, optional={"negatives": negative})
        for positive, negative in (("positive", "negative"), ("positive", "negatives"), ("pos", "neg"))
    ),
    extras={"label": ("label", "score", "relevance", "labels"), "id": ("id",)},
)

_CHAT = TaskColumns(
    layouts=(
        ColumnLayout(required={"messages": "messages"}),
        ColumnLayout(required={"messages": "conversations"}),
        ColumnLayout(required={"messages": "conversation"}),
        ColumnLayout(required={"prompt": "instruction", "completion": "output"}, optional={"input": "input"}),
        ColumnLayout(required={"prompt": "instruction", "completion": "response"}, optional={"input": "context"}),
        ColumnLayout(required={"prompt": "instruction", "completion": "response"}, optional={"input": "input"}),
        ColumnLayout(required={"prompt": "instruction", "instances": "instances"}),
        *_each(
            "prompt completion",
            "prompt completion",
            "prompt response",
            "prompt chosen",
            "question answer",
            "query response",
        ),
    ),
    extras={
        "system": ("system", "system_prompt"),
        "tools": ("tools", "functions"),
        "history": ("history",),
        "chosen": ("chosen",),
        "wanted": ("label",),
        "id": ("id",),
    },
)

_TEXT2TEXT = TaskColumns(
    layouts=(
        *_target(
            "source target",
            "prompt completion",
            "prompt response",
            "input output",
            "input target",
            "inputs targets",
            "input_text target_text",
            "document summary",
            "article highlights",
            "article summary",
            "dialogue summary",
            "text summary",
            "text target",
            "question answer",
        ),
        ColumnLayout(required={"source": "instruction", "target": "output"}, optional={"input": "input"}),
        ColumnLayout(required={"source": "instruction", "target": "response"}, optional={"input": "context"}),
        ColumnLayout(required={"source": "instruction", "instances": "instances"}),
    ),
    extras={"id": ("id",)},
)

COLUMNS: Mapping[Task, TaskColumns] = {
    Task.CLASSIFY: _CLASSIFY,
    Task.NER: _NER,
    Task.QA: _QA,
    Task.CHOICE: _CHOICE,
    Task.EMBED: _EMBED,
    Task.RERANK: _RERANK,
    Task.CHAT: _CHAT,
    Task.TEXT2TEXT: _TEXT2TEXT,
}
"""How each task's columns are called."""
