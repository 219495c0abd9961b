"""Functions offered through the real client: required calls are always calls, optional ones are recognised."""

import json

import openai
import pytest

from lavra.server.conversation.tool_calls import read_tools
from lavra.server.schemas import ChatBody
from tests.server.dictation import dictating, put_together, whole

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
        model="long", messages=MESSAGES, **{"tools": [WEATHER, CLOCK], "temperature": 1.0, "max_tokens": 60, **more}
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
    pieces = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    (expected,) = whole.choices[0].message.tool_calls
    assert [call.function.name for call in pieces if call.function.name] == [expected.function.name]
    assert "".join(call.function.arguments for call in pieces) == expected.function.arguments
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
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, r"tools\[0\]\.function\.name"),
    ],
)
def test_senseless_settings_are_refused(client, more, says):
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
        (
            '<tool_call>{"name": "other", "arguments": {}}</tool_call>'
            '<tool_call>{"name": "clock", "arguments": {}}</tool_call>',
            '<tool_call>{"name": "other", "arguments": {}}</tool_call>',
            ["clock"],
        ),
        ('{"name": "clock", "parameters": {}}', "", ["clock"]),
        ('{"name": "other", "arguments": {}}', '{"name": "other", "arguments": {}}', []),
        ('{"name": "clock", "arguments": 3}', '{"name": "clock", "arguments": 3}', []),
        ('<tool_call>{"name": "clock"', '<tool_call>{"name": "clock"', []),
        ('["clock"]', '["clock"]', []),
    ],
)
def test_calls_are_recognised_in_what_models_write(text, left, names):
    scanner = tools().scanner()
    scanner.feed(text)
    scanner.close()
    calls = scanner.calls
    assert scanner.text == left
    assert [call.name for call in calls] == names
    assert all(isinstance(json.loads(call.arguments), dict) for call in calls)
    assert len({call.id for call in calls}) == len(calls)


@pytest.fixture(scope="module")
def dictated():
    with dictating() as both:
        yield both


def written(name, arguments):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n</tool_call>"


FAR = {"place": "São Tomé 東京 🍎", "days": 3}
NEAR = {"place": "Recife", "days": 1, "note": 'linha 1\nlinha "2" \\'}


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("Faz sol em São Tomé. 🍏", "Faz sol em São Tomé. 🍏", []),
        (written("weather", FAR), "", [("weather", FAR)]),
        ("Já vejo: " + written("clock", {}), "Já vejo:", [("clock", {})]),
        (
            written("weather", FAR) + "\n" + written("weather", NEAR) + "\n" + written("clock", {"zona": "Açores"}),
            "",
            [("weather", FAR), ("weather", NEAR), ("clock", {"zona": "Açores"})],
        ),
        ('{"name": "weather", "parameters": {"place": "Évora"}}', "", [("weather", {"place": "Évora"})]),
        ('<tool_call>{"name": "clock", "arg', '<tool_call>{"name": "clock", "arg', []),
    ],
    ids=["text", "non-ascii", "text and call", "several", "alone", "cut"],
)
def test_streamed_pieces_are_the_whole_answer(dictated, text, content, calls, samples):
    """The model decides, and no answer is cached: each is written anew."""
    client, runner = dictated
    runner.say(text)
    asked = {"temperature": 0, "max_tokens": 400, "n": samples}
    answer = ask(client, **asked)
    reason = "tool_calls" if calls else "stop"
    arguments = [(name, json.dumps(given, ensure_ascii=False)) for name, given in calls]
    assert whole(answer) == [(content, arguments, reason)] * samples
    for more in ({}, {"logprobs": True}):
        chunks = list(ask(client, **asked, **more, stream=True))
        assert put_together(chunks, samples) == whole(answer)
        assert not any("tool_call" in (c.delta.content or "") for chunk in chunks for c in chunk.choices if calls)


def test_a_demanded_call_is_streamed_as_it_is_written(dictated):
    client, runner = dictated
    place = {"type": "object", "properties": {"place": {"enum": ["São Tomé", "東京"]}}, "required": ["place"]}
    tool = {"type": "function", "function": {"name": "weather", "parameters": place}}
    runner.say('{"name":"weather","arguments":{"place":"東京"}}')
    asked = {"tools": [tool], "tool_choice": "required", "temperature": 0}
    answer = ask(client, **asked)
    assert whole(answer) == [("", [("weather", '{"place": "東京"}')], "tool_calls")]
    assert put_together(ask(client, **asked, stream=True), 1) == whole(answer)
