"""Conversations in every form, as messages for a chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import ChatSample, SampleSet
from lavra.tasks.chat import CHAT
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE, render_chat

CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
TOOL = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
GOOD = {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}
USER, ANSWER = GOOD["messages"]


def read(path: Path, *rows: dict[str, Any]) -> SampleSet:
    file = path / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_samples(file, CHAT.form)


def chats(found: SampleSet) -> list[list[Any]]:
    return [list(one.messages) for one in found.samples if isinstance(one, ChatSample)]


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        {"conversations": [{"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}]},
        {"prompt": "u", "completion": "a"},
        {"prompt": [USER], "completion": [ANSWER]},
        {"instruction": "u", "input": "", "output": "a"},
        {"instruction": "u", "input": None, "output": "a", "history": []},
        {"instruction": "u", "context": "", "response": "a", "category": "qa"},
        {"question": "u", "answer": "a"},
        {"conversations": [{"from": "human", "value": "u"}], "chosen": {"from": "gpt", "value": "a"}, "rejected": "b"},
        {"prompt": "u", "chosen": "a", "rejected": "b"},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "u"}]}, ANSWER], "label": True},
    ],
)
def test_every_form_gives_the_same_messages(tmp_path: Path, row: dict[str, Any]) -> None:
    found = read(tmp_path, row)
    assert chats(found) == [[USER, ANSWER]]
    assert found.issues == ()
    text = render_chat(
        DEFAULT_CHAT_TEMPLATE, chats(found)[0], add_generation_prompt=False, variables={"eos_token": "."}
    )
    assert text == "### User:\nu\n### Assistant:\na.\n"


def test_system_history_and_input_have_their_places(tmp_path: Path) -> None:
    row = {"instruction": "u", "input": "i", "output": "a", "system": "s", "history": [["u0", "a0"]]}
    assert chats(read(tmp_path, row)) == [
        [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "u0"},
            {"role": "assistant", "content": "a0"},
            {"role": "user", "content": "u\n\ni"},
            ANSWER,
        ]
    ]


@pytest.mark.parametrize(
    "turn",
    [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
        },
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
        {"role": "assistant", "content": [{"type": "tool_call", "value": '{"name": "f", "arguments": {"x": 1}}'}]},
    ],
)
@pytest.mark.parametrize("tools", [[TOOL], json.dumps([{"type": "function", "function": TOOL}])])
def test_tool_calls_of_every_form(tmp_path: Path, turn: dict[str, Any], tools: Any) -> None:
    result = {"from": "observation", "value": "1"} if "from" in turn else {"role": "tool", "content": "1"}
    found = read(tmp_path, {"messages": [USER, turn, result, ANSWER], "tools": tools})
    expected = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert chats(found) == [[USER, expected, {"role": "tool", "content": "1"}, ANSWER]]
    sample = found.samples[0]
    assert isinstance(sample, ChatSample)
    assert sample.tools == ({"type": "function", "function": TOOL},)
    assert found.issues == ()


def test_older_function_calls_become_calls_of_tools(tmp_path: Path) -> None:
    """OpenAI's form of 2023: `function_call`, role `function`, and `functions` beside the messages."""
    call = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"x": 1}'}}
    result = {"role": "function", "name": "f", "content": '{"t": 3}'}
    found = read(tmp_path, {"messages": [USER, call, result, ANSWER], "functions": [TOOL]})
    called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert chats(found) == [[USER, called, {"role": "tool", "name": "f", "content": '{"t": 3}'}, ANSWER]]
    sample = found.samples[0]
    assert isinstance(sample, ChatSample)
    assert sample.tools == ({"type": "function", "function": TOOL},)
    assert found.issues == ()


@pytest.mark.parametrize(
    ("user", "assistant"),
    [("Human", "GPT"), ("User", "Assistant"), ("USER", "ASSISTANT"), (" user ", "ChatBot"), ("Prompter", "AI")],
)
def test_the_case_of_a_role_does_not_matter(tmp_path: Path, user: str, assistant: str) -> None:
    row = {"conversations": [{"from": "SYSTEM", "value": "s"}, {"from": user, "value": "u"}]}
    row["conversations"].append({"from": assistant, "value": "a"})
    assert chats(read(tmp_path, row)) == [[{"role": "system", "content": "s"}, USER, ANSWER]]


def test_empty_system_turns_and_results_of_tools(tmp_path: Path) -> None:
    called, empty = {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": ""}
    found = read(
        tmp_path,
        {"messages": [{"role": "system", "content": " "}, USER, called, empty, ANSWER]},
        {"messages": [USER, called, {"role": "tool", "content": {"t": 3}}, ANSWER]},
    )
    called = {**called, "content": ""}
    assert chats(found) == [
        [USER, called, empty, ANSWER],
        [USER, called, {"role": "tool", "content": '{"t": 3}'}, ANSWER],
    ]
    assert found.fields["empty system turns, left out"] == "1"
    assert found.issues == ()


@pytest.mark.parametrize("mark", [{"weight": 0}, {"weight": 0.0}, {"train": False}, {"loss": False}])
def test_a_turn_of_weight_zero_is_kept_and_not_learnt(tmp_path: Path, mark: dict[str, Any]) -> None:
    bad = {"role": "assistant", "content": "bad", **mark}
    found = read(tmp_path, {"messages": [{"role": "system", "content": ""}, USER, bad, USER, {**ANSWER, "weight": 1}]})
    sample = found.samples[0]
    assert isinstance(sample, ChatSample)
    assert sample.messages == (USER, {"role": "assistant", "content": "bad"}, USER, ANSWER)
    assert sample.not_learnt == (1,)


def test_ids_of_calls_and_thoughts_are_kept(tmp_path: Path) -> None:
    call = {"id": "c1", **CALL}
    parts = [{"type": "reasoning", "value": "hm"}, {"type": "text", "value": "a"}, {"type": "text", "text": "b"}]
    called = {"role": "assistant", "content": "", "tool_calls": [call]}
    result = {"role": "tool", "content": "1", "tool_call_id": "c1"}
    row = {"messages": [USER, called, result, {"role": "assistant", "content": parts}]}
    (messages,) = chats(read(tmp_path, row))
    assert messages[1]["tool_calls"] == [call]
    assert messages[2]["tool_call_id"] == "c1"
    assert messages[3] == {"role": "assistant", "content": "a\nb", "reasoning_content": "hm"}


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"messages": []}, "not a list of messages"),
        ({"messages": [USER]}, "the assistant says nothing"),
        ({"messages": [{"role": "narrator", "content": "x"}, ANSWER]}, "role 'narrator'"),
        ({"messages": [USER, {"role": "assistant", "content": " "}]}, "message 2, of the assistant, is empty"),
        ({"messages": [USER, {"role": "assistant", "content": [{"type": "image_url"}]}]}, "part of type 'image_url'"),
        ({"messages": ["hi", ANSWER]}, "message 1 is 'hi'"),
        (
            {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"function": {}}]}]},
            "names no function",
        ),
        ({"messages": [USER, {"from": "function_call", "value": "f(x)"}]}, "is not JSON"),
        ({**GOOD, "tools": "nothing"}, "the tools"),
        ({**GOOD, "label": False}, "label: false"),
        ({"messages": [USER, {**ANSWER, "weight": 0}]}, "marked as not to be learnt"),
        ({"messages": [USER, {**ANSWER, "weight": 0.5}]}, "message 2 has the weight 0.5"),
        ({"messages": [USER, {"role": "assistant", "function_call": {"arguments": "{}"}}]}, "names no function"),
    ],
)
def test_conversations_without_targets_are_left_out_with_a_reason(
    tmp_path: Path, row: dict[str, Any], what: str
) -> None:
    found = read(tmp_path, GOOD, row)
    assert chats(found) == [[USER, ANSWER]]
    assert [(one.place.line, one.dropped) for one in found.issues] == [(2, True)]
    assert what in found.issues[0].what


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        ([USER, USER, ANSWER], "1 and 2 are both of the user"),
        ([USER, ANSWER, USER], "last message is of the user"),
        ([USER, {"role": "system", "content": "s"}, ANSWER], "message 2 is of the system"),
    ],
)
def test_odd_orders_are_reported_and_kept(tmp_path: Path, messages: list[Any], what: str) -> None:
    found = read(tmp_path, {"messages": messages})
    assert chats(found) == [messages]
    assert [one.dropped for one in found.issues] == [False]
    assert what in found.issues[0].what
