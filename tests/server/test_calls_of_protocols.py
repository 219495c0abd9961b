"""Calls that break, are cut, or are beside text: alike in every protocol, whole and in a stream."""

import json

import anthropic
import ollama
import pytest

from tests.server.dictation import dictating

PARAMETERS = {"type": "object", "properties": {"a": {}}}
CUT = '<tool_call>{"name": "f", "arguments": {"a": "' + "x" * 200
BROKEN = '<tool_call>{"name": "f", "arguments": {a: 1}}</tool_call>'
BESIDE = 'Sim. <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'


@pytest.fixture(scope="module")
def dictated():
    with dictating() as (client, runner):
        yield client, runner, str(client.base_url).removesuffix("/v1/")


@pytest.mark.parametrize(
    ("text", "given", "reason"), [(CUT, {}, "max_tokens"), (BROKEN, {}, "tool_use"), (BESIDE, {"a": 1}, "tool_use")]
)
def test_messages_have_an_object_for_every_call(dictated, text, given, reason):
    _, runner, url = dictated
    runner.say(text)
    tools = [{"name": "f", "input_schema": PARAMETERS}]
    asked = {"model": "long", "max_tokens": 60, "messages": [{"role": "user", "content": "a"}], "tools": tools}
    with anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0) as claude:
        answer = claude.messages.create(**asked, extra_body={"temperature": 0})
        pieces = list(claude.messages.create(**asked, extra_body={"temperature": 0}, stream=True))
    assert (answer.content[-1].input, answer.stop_reason) == (given, reason)
    assert pieces[-1].type == "message_stop"
    assert [one.delta.stop_reason for one in pieces if one.type == "message_delta"] == [reason]
    parts = [
        one.delta.partial_json
        for one in pieces
        if one.type == "content_block_delta" and one.index == len(answer.content) - 1
    ]
    if given:
        assert json.loads("".join(parts)) == given


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("text", "arguments", "status"),
    [(CUT, '{"a": "x', "incomplete"), (BROKEN, "{a: 1}}", "completed"), (BESIDE, '{"a": 1}', "completed")],
)
def test_responses_keep_calls_and_the_log_probabilities_of_text_apart(dictated, text, arguments, status, stream):
    client, runner, _ = dictated
    runner.say(text)
    answer = client.responses.create(
        model="long",
        input="a",
        tools=[{"type": "function", "name": "f", "parameters": PARAMETERS, "strict": False}],
        include=["message.output_text.logprobs"],
        temperature=0,
        max_output_tokens=60,
        stream=stream,
    )
    if stream:
        answer = list(answer)[-1].response
    assert answer.status == status
    call = (
        answer.output[-1]
        if not stream or text != BESIDE
        else next(o for o in answer.output if o.type == "function_call")
    )
    assert call.name == "f"
    assert call.arguments.startswith(arguments)
    said = [one.content[0] for one in answer.output if one.type == "message"]
    assert "".join(one.text for one in said) == ("Sim." if text == BESIDE else "")


@pytest.mark.parametrize(
    ("text", "given", "reason"), [(CUT, {}, "length"), (BROKEN, {}, "stop"), (BESIDE, {"a": 1}, "stop")]
)
def test_ollama_has_an_object_for_every_call(dictated, text, given, reason):
    _, runner, url = dictated
    runner.say(text)
    tools = [{"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}]
    asked = {
        "messages": [{"role": "user", "content": "a"}],
        "tools": tools,
        "options": {"temperature": 0, "num_predict": 60},
    }
    client = ollama.Client(host=url)
    whole = client.chat(model="long", **asked)
    pieces = list(client.chat(model="long", **asked, stream=True))
    for calls, ending in (
        (whole.message.tool_calls, whole.done_reason),
        ([call for one in pieces for call in one.message.tool_calls or ()], pieces[-1].done_reason),
    ):
        (call,) = calls
        assert (call.function.name, call.function.arguments, ending) == ("f", given, reason)
