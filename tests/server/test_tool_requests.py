"""Everything a client may request of functions, and send back: required calls, some, one, the older form."""

import json
import logging
import time

import openai
import pytest

from lavra.server.conversation.argument_schemas import call_schema, closed, parameters_of
from lavra.server.conversation.requests import plain_messages
from lavra.server.schemas import Message
from tests.server.conftest import WITHOUT_TOOLS
from tests.server.dictation import dictating, put_together, whole

MESSAGES = [{"role": "user", "content": "a"}]
OPEN = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"enum": [1]}}}}}


def function(name, parameters=None):
    return {"name": name, **({} if parameters is None else {"parameters": parameters})}


def tool(name, parameters=None):
    return {"type": "function", "function": function(name, parameters)}


def written(name, **arguments):
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


@pytest.fixture(scope="module")
def dictated():
    with dictating() as both:
        yield both


def ask(client, **more):
    asked = {"model": "long", "messages": MESSAGES, "temperature": 0, "max_tokens": 300, **more}
    return client.chat.completions.create(**asked)


def defined(values):
    """A schema like pydantic's of nested models."""
    return {
        "$defs": {"C": {"type": "string", "enum": values}},
        "type": "object",
        "properties": {"c": {"$ref": "#/$defs/C"}, "again": {"$ref": "#/properties/c"}},
        "required": ["c", "again"],
    }


@pytest.mark.parametrize(("name", "value"), [("g", "a"), ("h", "b")])
def test_two_functions_may_define_one_name(client, name, value):
    tools = [tool("g", defined(["a"])), tool("h", defined(["b"]))]
    answer = client.chat.completions.create(
        model="long", messages=MESSAGES, tools=tools, max_tokens=80, seed=1,
        tool_choice={"type": "function", "function": {"name": name}},
    )  # fmt: skip
    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"c": value, "again": value}
    assert any("take no properties but those they list" in one for one in answer.warnings)


def test_references_are_moved_and_values_are_not():
    schema = {
        "$id": "https://example.com/x",
        "$defs": {"T": {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}}}},
        "properties": {"$ref": {"type": "string"}, "t": {"$ref": "#/$defs/T"}, "self": {"$ref": "#"}},
        "default": {"$ref": "#/$defs/T"},
        "items": [{"$ref": "https://example.com/else"}],
    }
    moved = call_schema({"f.1": schema})["$defs"]["f.1"]
    assert moved["$defs"]["T"]["properties"]["next"] == {"$ref": "#/$defs/f.1/$defs/T"}
    assert moved["properties"]["t"] == {"$ref": "#/$defs/f.1/$defs/T"}
    assert moved["properties"]["self"] == {"$ref": "#/$defs/f.1"}
    assert moved["properties"]["$ref"] == {"type": "string"}
    assert moved["default"] == schema["default"]
    assert moved["items"] == schema["items"]
    assert "$id" not in moved


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]},
        {"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}]},
        {"properties": {"a": {}}, "allOf": [{"$ref": "#/$defs/B"}], "$defs": {"B": {"properties": {"b": {}}}}},
        {"not": {"properties": {"a": {"const": 1}}}},
        {"default": {"properties": {"a": {}}}},
    ],
)
def test_explicit_additional_properties_stay_open(schema):
    assert closed(schema) == schema


def test_objects_that_list_properties_are_closed():
    assert closed(OPEN) == {
        "type": "object",
        "properties": {
            "a": {"type": "object", "properties": {"b": {"enum": [1]}}, "additionalProperties": False},
        },
        "additionalProperties": False,
    }
    assert closed(parameters_of({"type": "object"}))["additionalProperties"] is False
    assert closed(parameters_of({}))["additionalProperties"] is False
    assert parameters_of({"properties": {"a": {}}})["type"] == "object"


def allowed(mode, *names):
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [tool(name) for name in names]}}


def test_only_allowed_tools_are_called(dictated):
    client, runner = dictated
    tools = [tool("f"), tool("g")]
    text = written("g") + written("f")
    runner.say(text)
    assert whole(ask(client, tools=tools, tool_choice=allowed("auto", "f"))) == [
        (written("g"), [("f", "{}")], "tool_calls")
    ]
    runner.say('{"name":"g","arguments":{}}')
    assert whole(ask(client, tools=tools, tool_choice=allowed("required", "g"))) == [("", [("g", "{}")], "tool_calls")]
    runner.say(text)
    with pytest.raises(openai.BadRequestError, match="names 'h', which is not offered"):
        ask(client, tools=tools, tool_choice=allowed("auto", "h"))


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}, "allowed_tools is malformed"),
        ({"type": "allowed_tools", "allowed_tools": [1]}, "allowed_tools is malformed"),
        ({"type": "function", "function": {"name": ["f"]}}, "tool_choice names no function"),
        ({"type": "function", "function": "f"}, "tool_choice names no function"),
    ],
)
def test_choices_that_make_no_sense_are_refused(dictated, choice, says):
    with pytest.raises(openai.BadRequestError, match=says):
        ask(dictated[0], tools=[tool("f")], tool_choice=choice)


def test_no_tools_and_a_call_is_demanded(dictated):
    with pytest.raises(openai.BadRequestError, match="there are no tools"):
        ask(dictated[0], tools=[], tool_choice="required")


def test_one_call_where_calls_are_not_parallel(dictated):
    client, runner = dictated
    runner.say(written("f", a=1) + written("f", a=2))
    asked = {"tools": [tool("f")], "parallel_tool_calls": False}
    answer = ask(client, **asked)
    assert whole(answer) == [("", [("f", '{"a": 1}')], "tool_calls")]
    chunks = list(ask(client, **asked, stream=True))
    assert put_together(chunks, 1) == whole(answer)
    assert [one for one in answer.warnings if "left out (f)" in one] == [
        one for one in chunks[-1].warnings if "left out (f)" in one
    ]
    assert "left out" in str(answer.warnings)
    assert len(ask(client, tools=[tool("f")]).choices[0].message.tool_calls) == 2


@pytest.mark.parametrize("choice", ["auto", {"name": "f"}])
def test_the_older_form_is_answered_in_the_older_form(dictated, choice):
    client, runner = dictated
    runner.say('{"name":"f","arguments":{"a":{"b":1}}}')
    asked = {"functions": [function("f", OPEN), function("g")], "function_call": choice}
    answer = ask(client, **asked)
    (one,) = answer.choices
    assert one.finish_reason == "function_call"
    assert one.message.tool_calls is None
    assert (one.message.function_call.name, one.message.function_call.arguments) == ("f", '{"a": {"b": 1}}')
    chunks = list(ask(client, **asked, stream=True))
    parts = [chunk.choices[0].delta.function_call for chunk in chunks if chunk.choices[0].delta.function_call]
    assert "".join(part.name or "" for part in parts) == "f"
    assert "".join(part.arguments for part in parts) == one.message.function_call.arguments
    assert chunks[-1].choices[0].finish_reason == "function_call"
    with pytest.raises(openai.BadRequestError, match="give one form only"):
        ask(client, **asked, tools=[tool("f")])


def test_history_in_the_older_form_is_read_as_in_the_newer():
    called = {"name": "f", "arguments": '{"a": 1}'}
    tool_calls = [{"type": "function", "function": called}]
    older = [{"role": "assistant", "function_call": called}, {"role": "function", "name": "f", "content": "3"}]
    newer = [{"role": "assistant", "tool_calls": tool_calls}, {"role": "tool", "name": "f", "content": "3"}]
    read = [plain_messages([Message(**one) for one in messages]) for messages in (older, newer)]
    assert read[0] == read[1]
    assert read[0][0]["tool_calls"][0]["function"]["arguments"] == {"a": 1}


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("", {}),
        (None, {}),
        ('{"a": ', '{"a": '),
        ("[1]", "[1]"),
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", None),
    ],
)
def test_arguments_in_history_are_objects_where_they_can_be(arguments, read):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    (message,) = plain_messages([Message(role="assistant", content=None, tool_calls=[call])])
    expected = arguments if read is None else read
    assert message["tool_calls"] == [{**call, "function": {"name": "f", "arguments": expected}}]


@pytest.mark.parametrize("value", ['"\\ud83d"', "NaN", "1e999", "[" * 70 + "]" * 70])
@pytest.mark.parametrize("stream", [False, True])
def test_nothing_a_model_writes_breaks_an_answer(dictated, value, stream):
    client, runner = dictated
    runner.say('{"name":"f","arguments":{"a":' + value + "}}")
    answer = ask(client, tools=[tool("f")], max_tokens=1000, stream=stream)
    ((content, calls, reason),) = put_together(answer, 1) if stream else whole(answer)
    ((name, arguments),) = calls
    assert (content, name, reason) == ("", "f", "tool_calls")
    arguments.encode()
    if len(value) < 20:
        json.dumps(json.loads(arguments), allow_nan=False, ensure_ascii=False).encode()


def test_a_call_that_the_limit_cuts_is_no_call_that_ended(dictated):
    client, runner = dictated
    runner.say(written("f", a="x" * 200))
    answer = ask(client, tools=[tool("f")], max_tokens=60)
    ((content, ((name, arguments),), reason),) = whole(answer)
    assert (content, name, reason) == ("", "f", "length")
    assert arguments.startswith('{"a": "xx')
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(arguments)
    assert "the text ended before the arguments of f were whole" in answer.warnings
    chunks = list(ask(client, tools=[tool("f")], max_tokens=60, stream=True))
    assert put_together(chunks, 1) == whole(answer)


def test_text_streams_while_tools_are_offered_and_calls_come_in_pieces(dictated, monkeypatch):
    client, runner = dictated
    runner.say("Um momento. " + written("f", a="bbb"))
    forward = runner.forward

    def slowly(batch):
        time.sleep(0.01)  # pieces that come at once are sent as one
        return forward(batch)

    monkeypatch.setattr(runner, "forward", slowly)
    chunks = [one.choices[0].delta for one in ask(client, tools=[tool("f")], stream=True)]
    said = [one.content for one in chunks if one.content]
    given = [one.tool_calls[0].function.arguments for one in chunks if one.tool_calls]
    assert len(said) > 1
    assert len(given) > 2
    assert "".join(said) == "Um momento."


def test_log_probabilities_are_those_of_all_tokens(dictated):
    client, runner = dictated
    text = "Vejo. " + written("f", a="b") + " Pronto."
    runner.say(text)
    asked = {"tools": [tool("f")], "logprobs": True}
    (one,) = ask(client, **asked).choices
    told = [entry.token for entry in one.logprobs.content]
    assert text in "".join(told)
    chunks = ask(client, **asked, stream=True)
    streamed = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    assert [entry.token for part in streamed for entry in part.content] == told


def test_a_template_without_tools_is_a_warning():
    with dictating(WITHOUT_TOOLS) as (client, runner):
        runner.say("b")
        assert "shows no tools" in str(ask(client, tools=[tool("weather")]).warnings)
        assert "shows no tools" not in str(ask(client).warnings)
        named = [{"role": "user", "content": "Use weather for Recife."}]  # its name stands in the text all the same
        assert "shows no tools" in str(ask(client, messages=named, tools=[tool("weather")]).warnings)


def test_strict_without_a_demanded_call_is_a_warning(dictated):
    client, runner = dictated
    runner.say("b")
    strict = {"type": "function", "function": {"name": "f", "parameters": OPEN, "strict": True}}
    assert "strict has no effect on f" in str(ask(client, tools=[strict]).warnings)


def test_a_fault_within_a_stream_ends_it_and_is_in_the_log(dictated, monkeypatch, caplog):
    client, runner = dictated
    runner.say("b c d")

    def fail(*_):
        raise RuntimeError("the scanner broke")

    monkeypatch.setattr("lavra.server.conversation.call_scanner.CallScanner.feed", fail)
    url = str(client.base_url).removesuffix("/v1/") + "/v1/chat/completions"
    with caplog.at_level(logging.ERROR):
        answer = client._client.post(
            url, json={"messages": MESSAGES, "tools": [tool("f")], "stream": True}, headers={"x-request-id": "seen"}
        )
    *_, error, done = answer.text.strip().split("\n\n")
    assert json.loads(error.removeprefix("data: "))["error"]["type"] == "server_error"
    assert done == "data: [DONE]"
    assert "request seen failed" in caplog.text
    assert "the scanner broke" in caplog.text
