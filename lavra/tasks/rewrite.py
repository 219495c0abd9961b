"""Rewriting: one text to another, as in translation, summaries and completions of a prompt."""

from __future__ import annotations

from typing import Final

from lavra.data.labelled.form import SampleForm
from lavra.data.labelled.layouts import ColumnLayout, TaskColumns, source_and_target
from lavra.data.labelled.makers import rewrite_maker
from lavra.data.labelled.samples import RewriteSample
from lavra.tasks.spec import TaskSpec, WritingSpec


def _texts(sample: RewriteSample) -> tuple[str, ...]:
    return (sample.source,)


REWRITE: Final = TaskSpec(
    name="rewrite",
    summary="one text to another",
    saved_as="text2text",
    form=SampleForm(
        name="rewrite",
        columns=TaskColumns(
            layouts=(
                *source_and_target(
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
        ),
        prepare=rewrite_maker,
    ),
    texts=_texts,
    expected=lambda sample: sample.target,
    is_known=lambda sample: sample.target is not None,
    tokens=384,
    recipe="lavra.tasks.learning.recipes:writing_recipe",
    reads_back=(
        "targets read back as they are written, with an end",
        "lavra.tasks.learning.read_back:look_at_targets",
    ),
    writing=WritingSpec(rows="lavra.tasks.learning.writing:rewritten"),
)
