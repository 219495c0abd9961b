"""Conversations of every common form, as the messages a chat template reads.

OpenAI's `messages` with role and content, tool calls and tools; ShareGPT's `conversations` with from and value;
`prompt` and `completion`; Alpaca's instruction, input and output.  What is read differently from how it is written is
said here: arguments of tool calls given as JSON text become objects, because templates expect those; parts of a content
are joined; `reasoning` becomes `reasoning_content`.  Pictures and sound are refused, not dropped.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from lavra.data.labelled.samples import ChatSample
from lavra.data.labelled.tables import Notes, Row, UnusableError, lookup, shown, text_of, text_value
from lavra.data.labelled.tool_calls import tool_call, tools_of

MessageFields = dict[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_SPEAKERS = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "ipython": "tool",
}
WRITE_MESSAGES = 'write messages as [{"role": "user", "content": "..."}, ...]'


def chat_sample(row: Row, columns: Mapping[str, str], notes: Notes) -> ChatSample:
    """The conversation of a row.

    Raises:
        UnusableError: a message is empty or malformed, a role is unknown, the assistant says nothing, or the row is
            marked as one not to be learnt.
    """
    _check_wanted(row, columns)
    messages = _history(row, columns) + _turns(row, columns)
    if "chosen" in columns:
        messages += _preferred(lookup(row, columns["chosen"]), messages)
    system = lookup(row, columns["system"]) if "system" in columns else None
    if system:
        messages.insert(0, {"role": "system", "content": text_of(system, columns["system"])})
    _check_order(row, messages, notes)
    tools = tools_of(lookup(row, columns["tools"])) if "tools" in columns else None
    return ChatSample(messages=tuple(messages), tools=tools, place=row.place)


def _check_wanted(row: Row, columns: Mapping[str, str]) -> None:
    value = lookup(row, columns["wanted"]) if "wanted" in columns else None
    if value is False:
        raise UnusableError(
            f"it is marked {columns['wanted']}: false, an answer people did not want",
            "learn from preferences instead, or delete the field to learn these answers too",
        )


def _turns(row: Row, columns: Mapping[str, str]) -> list[MessageFields]:
    if "messages" in columns:
        return _messages(lookup(row, columns["messages"]), columns["messages"])
    return _side(row, columns["prompt"], "user", columns) + _side(row, columns["completion"], "assistant", columns)


def _side(row: Row, column: str, role: str, columns: Mapping[str, str]) -> list[MessageFields]:
    """A prompt or its completion: a text, or messages already."""
    value = lookup(row, column)
    if isinstance(value, list):
        return _messages(value, column)
    return [{"role": role, "content": with_input(row, columns, column) if role == "user" else text_of(value, column)}]


def with_input(row: Row, columns: Mapping[str, str], column: str) -> str:
    """An instruction and, two lines below, the input it is about, where there is one."""
    instruction = text_value(row, column)
    extra = lookup(row, columns["input"]) if "input" in columns else None
    if extra is None or (isinstance(extra, str) and not extra.strip()):
        return instruction
    return f"{instruction}\n\n{text_of(extra, columns['input'])}"


def _history(row: Row, columns: Mapping[str, str]) -> list[MessageFields]:
    """Alpaca's `history`: [what was asked, what was answered] of the turns before."""
    value = lookup(row, columns["history"]) if "history" in columns else None
    found: list[MessageFields] = []
    for turn in value or []:
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise UnusableError(f"the history holds {shown(turn)}", "write history as [[asked, answered], ...]")
        asked, answered = turn
        found += [
            {"role": "user", "content": text_of(asked, "history")},
            {"role": "assistant", "content": text_of(answered, "history")},
        ]
    return found


def _preferred(value: Any, before: list[MessageFields]) -> list[MessageFields]:
    """The answer people chose; a whole conversation stands for its turns that are not there already."""
    if isinstance(value, str):
        return [{"role": "assistant", "content": text_of(value, "chosen")}]
    turns = _messages(value if isinstance(value, list) else [value], "chosen")
    return turns[len(before) :] if turns[: len(before)] == before else turns


def _messages(value: Any, column: str) -> list[MessageFields]:
    if not isinstance(value, list) or not value:
        raise UnusableError(f"{column!r} is {shown(value)}, not a list of messages", WRITE_MESSAGES)
    return [_message(one, number) for number, one in enumerate(value, start=1)]


def _message(value: Any, number: int) -> MessageFields:
    if not isinstance(value, Mapping):
        raise UnusableError(f"message {number} is {shown(value)}, not an object", WRITE_MESSAGES)
    speaker = value.get("role", value.get("from"))
    role = _SPEAKERS.get(str(speaker).lower(), speaker)
    if role not in ROLES:
        known = ", ".join((*ROLES, *_SPEAKERS))
        raise UnusableError(f"message {number} has the role {shown(speaker)}", f"use one of {known}")
    kept = {
        name: one for name, one in value.items() if name not in ("role", "from", "content", "value") and one is not None
    }
    if speaker in ("function_call", "tool_call"):
        calls = _called(value.get("value", value.get("content")), number)
        return {"role": "assistant", "content": "", "tool_calls": calls, **kept}
    content = value.get("content", value.get("value"))
    if "tool_calls" in kept:
        kept["tool_calls"] = _called(kept["tool_calls"], number)
    message: MessageFields = {"role": role, "content": "", **kept}
    message.update(_content(content, number))
    if not message["content"].strip() and not message.get("tool_calls"):
        raise UnusableError(f"message {number}, of the {role}, is empty", "fill the message in, or delete the sample")
    return message


def _called(value: Any, number: int) -> list[MessageFields]:
    calls = value if isinstance(value, list) else [value]
    return [tool_call(one, number) for one in calls]


def _content(content: Any, number: int) -> MessageFields:
    """What a content adds to its message: the text, and thoughts and tool calls that stand among its parts."""
    if content is None:
        return {}
    if isinstance(content, str):
        return {"content": content if not content.strip() else text_of(content, f"message {number}")}
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        raise UnusableError(f"the content of message {number} is {shown(content)}, not text", WRITE_MESSAGES)
    texts, thoughts, calls = list[str](), list[str](), list[MessageFields]()
    for part in content:
        kind = part.get("type")
        value = part.get("text", part.get("value"))
        if kind == "text" and isinstance(value, str):
            texts.append(value)
        elif kind == "reasoning" and isinstance(value, str):
            thoughts.append(value)
        elif kind == "tool_call":
            calls += _called(value, number)
        else:
            raise UnusableError(
                f"message {number} has a part of type {shown(kind)}", "only text can be learnt; delete the sample"
            )
    found: MessageFields = {"content": "\n".join(texts)}
    found.update({"reasoning_content": "\n".join(thoughts)} if thoughts else {})
    found.update({"tool_calls": calls} if calls else {})
    return found


def _check_order(row: Row, messages: Sequence[MessageFields], notes: Notes) -> None:
    roles = [message["role"] for message in messages]
    if "assistant" not in roles:
        raise UnusableError("the assistant says nothing", "add the answer that is to be learnt")
    late = [at + 1 for at, role in enumerate(roles) if role in ("system", "developer") and at]
    if late:
        what = f"message {late[0]} is of the system, which most templates allow at the beginning only"
        notes.at(row.place, what, "put what the system says first", dropped=False)
    for at, (role, after) in enumerate(itertools.pairwise(roles), start=1):
        if role == after == "user" or (role == after == "assistant" and not messages[at - 1].get("tool_calls")):
            what = f"messages {at} and {at + 1} are both of the {role}"
            notes.at(row.place, what, "join them: most templates want user and assistant in turn", dropped=False)
            break
    if roles[-1] != "assistant":
        what = f"the last message is of the {roles[-1]}; nothing is learnt from it"
        notes.at(row.place, what, "end conversations with the assistant", dropped=False)
