"""Functions offered through the real client: demanded calls are always calls, chosen ones are recognised."""

import json

import openai
import pytest

from lavra.server.schemas import ChatBody
from lavra.server.tool_calls import find_calls, read_tools

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"enum": ["Lisboa", "Recife"]},
                "days": {"type": "integer", "maximum": 9, "minimum": 1},
            },
            "required": ["place", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
MESSAGES = [{"role": "user", "content": "a"}]


def ask(client, **more):
    return client.chat.completions.create(
        model="long", messages=MESSAGES, tools=[WEATHER, CLOCK], temperature=1.0, **{"max_tokens": 60, **more}
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_demanded_function_is_called_as_its_schema_says(client, seed):
    answer = ask(client, tool_choice={"type": "function", "function": {"name": "weather"}}, seed=seed)
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    assert call.function.name == "weather"
    arguments = json.loads(call.function.arguments)
    assert arguments["place"] in ("Lisboa", "Recife")
    assert 1 <= arguments["days"] <= 9


def test_any_function_may_be_demanded_and_streamed(client):
    whole = ask(client, tool_choice="required", seed=5)
    chunks = list(ask(client, tool_choice="required", seed=5, stream=True))
    streamed = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    (expected,) = whole.choices[0].message.tool_calls
    assert [(call.function.name, call.function.arguments) for call in streamed] == [
        (expected.function.name, expected.function.arguments)
    ]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert not any(chunk.choices[0].delta.content for chunk in chunks)


def test_text_stays_text_where_it_is_the_models_choice(client):
    plain = ask(client, seed=1, tool_choice="none").choices[0]
    free = ask(client, seed=1).choices[0]
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in ask(client, seed=1, stream=True))
    assert free.message.tool_calls is None
    assert free.message.content == plain.message.content == streamed  # this template shows no tools
    assert free.finish_reason in ("stop", "length")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"tool_choice": {"type": "function", "function": {"name": "wether"}}}, "did you mean 'weather'"),
        ({"tools": [CLOCK, CLOCK]}, "two tools are called 'clock'"),
        ({"tools": None, "tool_choice": "required"}, "there are no tools"),
        ({"tool_choice": "required", "response_format": {"type": "json_object"}}, "leave one of them out"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
    ],
)
def test_what_makes_no_sense_is_refused(client, more, says):
    body = {"model": "long", "messages": MESSAGES, "tools": [WEATHER], **more}
    with pytest.raises(openai.BadRequestError, match=says):
        client.chat.completions.create(**{key: value for key, value in body.items() if value is not None})


def tools():
    return read_tools(ChatBody(messages=MESSAGES, tools=[WEATHER, CLOCK]))


@pytest.mark.parametrize(
    ("text", "left", "names"),
    [
        ("It rains.", "It rains.", []),
        ('<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>', "", ["clock"]),
        ('Wait. <tool_call>{"name": "clock", "arguments": {"a": {"b": 1}}}</tool_call>', "Wait.", ["clock"]),
        (
            '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'
            '<tool_call>{"name": "weather", "arguments": {"place": "Recife"}}</tool_call>',
            "",
            ["clock", "weather"],
        ),
        ('{"name": "clock", "parameters": {}}', "", ["clock"]),
        ('{"name": "other", "arguments": {}}', '{"name": "other", "arguments": {}}', []),
        ('{"name": "clock", "arguments": 3}', '{"name": "clock", "arguments": 3}', []),
        ('<tool_call>{"name": "clock"', '<tool_call>{"name": "clock"', []),
        ('["clock"]', '["clock"]', []),
    ],
)
def test_calls_are_recognised_in_what_models_write(text, left, names):
    rest, calls = find_calls(text, tools())
    assert rest == left
    assert [call["function"]["name"] for call in calls] == names
    assert all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in calls)
    assert len({call["id"] for call in calls}) == len(calls)
