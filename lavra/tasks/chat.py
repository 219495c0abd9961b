"""Chat: the assistant's turns of conversations, learnt by a decoder."""

from __future__ import annotations

from typing import Final

from lavra.data.labelled.form import SampleForm
from lavra.data.labelled.layouts import ColumnLayout, TaskColumns, each
from lavra.data.labelled.makers import chat_maker
from lavra.data.labelled.samples import ChatSample
from lavra.tasks.spec import TaskSpec, WritingSpec


def _texts(sample: ChatSample) -> tuple[str, ...]:
    return tuple(str(message.get("content")) for message in sample.messages)


CHAT: Final = TaskSpec(
    name="chat",
    summary="the assistant's turns of conversations",
    form=SampleForm(
        name="chat",
        columns=TaskColumns(
            layouts=(
                ColumnLayout(required={"messages": "messages"}),
                ColumnLayout(required={"messages": "conversations"}),
                ColumnLayout(required={"messages": "conversation"}),
                ColumnLayout(required={"prompt": "instruction", "completion": "output"}, optional={"input": "input"}),
                ColumnLayout(
                    required={"prompt": "instruction", "completion": "response"}, optional={"input": "context"}
                ),
                ColumnLayout(required={"prompt": "instruction", "completion": "response"}, optional={"input": "input"}),
                ColumnLayout(required={"prompt": "instruction", "instances": "instances"}),
                *each(
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
        ),
        prepare=chat_maker,
    ),
    texts=_texts,
    tokens=384,
    recipe="lavra.tasks.learning.recipes:writing_recipe",
    reads_back=(
        "the assistant's words and their ends are learnt, no more",
        "lavra.tasks.learning.read_back:look_at_turns",
    ),
    writing=WritingSpec(rows="lavra.tasks.learning.writing:conversations", is_chat=True),
)
