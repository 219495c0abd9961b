"""Conversations of every common form, as the messages a chat template reads.

OpenAI's `messages` with role and content, tool calls and tools; ShareGPT's `conversations` with from and value;
`prompt` and `completion`; Alpaca's instruction, input and output.  These fields are
changed: arguments of tool calls given as JSON text become objects, because templates expect those; parts of a content
are joined; `reasoning` becomes `reasoning_content`; OpenAI's older `function_call` and role `function` become a tool
call and its result; empty system turns are left out.  Pictures and sound are refused, not dropped.  A turn of weight 0
is read and not learnt.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lavra.data.labelled.samples import ChatSample
from lavra.data.labelled.tables import Notes, Row, UnusableError, lookup, shown, text_of, text_value
from lavra.data.labelled.tool_calls import tool_call, tools_of
from lavra.data.labelled.turn_weights import WEIGHT, WEIGHTS, weight_of

MessageFields = dict[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool")
_MAY_BE_EMPTY = ("system", "developer", "tool")
_SPEAKERS = {
    "human": "user",
    "prompter": "user",
    "customer": "user",
    "ai": "assistant",
    "agent": "assistant",
    "chatbot": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "ipython": "tool",
}
_READ = ("role", "from", "content", "value", "text", "function_call", *WEIGHTS)
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
    messages = _speaking(messages, notes)
    _check_order(row, messages, notes)
    not_learnt = tuple(at for at, message in enumerate(messages) if message.pop(WEIGHT, 1) == 0)
    if all(at in not_learnt for at, message in enumerate(messages) if message["role"] == "assistant"):
        raise UnusableError("every turn of the assistant is marked as not to be learnt", "give one of them weight 1")
    tools = tools_of(lookup(row, columns["tools"])) if "tools" in columns else None
    return ChatSample(messages=tuple(messages), tools=tools, not_learnt=not_learnt, place=row.place)


def _speaking(messages: list[MessageFields], notes: Notes) -> list[MessageFields]:
    """The messages without empty system turns; a template would print their frame."""
    kept = [one for one in messages if one["role"] not in ("system", "developer") or one["content"].strip()]
    if len(kept) < len(messages):
        notes.counts["empty system turns, left out"] += len(messages) - len(kept)
    return kept


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
    """Alpaca's `history`: [question, answer] of each turn before."""
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
    role, speaker = _role(value.get("role", value.get("from")), number)
    kept = {name: one for name, one in value.items() if name not in _READ and one is not None}
    if not weight_of(value, f"message {number}"):
        kept[WEIGHT] = 0
    content = next((value[name] for name in ("content", "value", "text") if name in value), None)
    if speaker in ("function_call", "tool_call"):
        return {"role": "assistant", "content": "", "tool_calls": _called(content, number), **kept}
    calls = kept.get("tool_calls") or value.get("function_call")
    if calls:
        kept["tool_calls"] = _called(calls, number)
    if role == "tool" and isinstance(content, Mapping):
        content = json.dumps(content, ensure_ascii=False)
    message: MessageFields = {"role": role, "content": "", **kept}
    message.update(_content(content, number))
    if not message["content"].strip() and not message.get("tool_calls") and role not in _MAY_BE_EMPTY:
        raise UnusableError(f"message {number}, of the {role}, is empty", "fill the message in, or delete the sample")
    return message


def _role(given: Any, number: int) -> tuple[str, str]:
    """The role of a message, and the file's word for it in small letters."""
    speaker = given.strip().lower() if isinstance(given, str) else ""
    role = _SPEAKERS.get(speaker, speaker)
    if role not in ROLES:
        known = ", ".join((*ROLES, *_SPEAKERS))
        raise UnusableError(f"message {number} has the role {shown(given)}", f"use one of {known}")
    return role, speaker


def _called(value: Any, number: int) -> list[MessageFields]:
    calls = value if isinstance(value, list) else [value]
    return [tool_call(one, number) for one in calls]


def _content(content: Any, number: int) -> MessageFields:
    """The fields that a content adds to its message: text, and thoughts and tool calls among its parts."""
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
