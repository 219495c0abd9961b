"""`/v1/responses` through the real client, against the same model in a chat; every object has OpenAI's types."""

import contextlib
import json
from itertools import chain
from typing import Literal

import openai
import pytest
from openai.types.responses import Response, ResponseItem, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from tests.server.conftest import running, served
from tests.server.responses.paced import client_of

EVENT, ITEM = TypeAdapter(ResponseStreamEvent), TypeAdapter(ResponseItem)
LOGPROBS = ["message.output_text.logprobs"]
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"enum": ["Lisboa", "Recife"]}},
        "required": ["place"],
        "additionalProperties": False,
    },
    "strict": True,
}


def chat(client, messages, **more):
    asked = {"model": "talker", "max_tokens": 12, "temperature": 0, **more}
    return client.chat.completions.create(messages=messages, **asked)


def respond(client, given="She loved", **more):
    asked = {"model": "talker", "max_output_tokens": 12, "temperature": 0, **more}
    answer = client.responses.create(input=given, **asked)
    if isinstance(answer, openai.Stream):
        return answer
    Response.model_validate(answer.to_dict(), strict=True)
    return answer


def streamed(client, given="She loved", **more):
    """Events of a stream in order, each of OpenAI's types."""
    events = [event.to_dict() for event in respond(client, given, stream=True, **more)]
    for number, event in enumerate(events):
        EVENT.validate_python(event)
        assert event["sequence_number"] == number
    return events


def user(text):
    return {"role": "user", "content": text}


def test_a_response_is_a_chats_answer(client):
    answer, expected = respond(client), chat(client, [user("She loved")])
    assert answer.output_text == expected.choices[0].message.content
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.usage.input_tokens == expected.usage.prompt_tokens
    assert answer.usage.output_tokens == 12
    assert (answer.temperature, answer.model, answer.object) == (0, "talker", "response")
    assert answer.model_extra["warnings"] == []


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ([user("She loved")], [user("She loved")]),
        (
            [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "She loved"}]}],
            [user("She loved")],
        ),
        (
            [
                {"role": "system", "content": "Be"},
                user("a"),
                {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
                user("c"),
            ],
            [{"role": "system", "content": "Be"}, user("a"), {"role": "assistant", "content": "b"}, user("c")],
        ),
        (
            [
                user("a"),
                {"role": "assistant", "content": "Wait."},
                {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"place": "Recife"}'},
                {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
            ],
            [
                user("a"),
                {
                    "role": "assistant",
                    "content": "Wait.",
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"place": "Recife"}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            ],
        ),
    ],
    ids=["short", "parts", "roles", "calls"],
)
def test_items_are_messages(client, given, messages):
    assert respond(client, given).output_text == chat(client, messages).choices[0].message.content


@pytest.mark.parametrize("truncation", [None, "auto"])
def test_raw_continues_a_text_as_completions_do(client, truncation):
    more = {} if truncation is None else {"truncation": truncation}
    answer = respond(client, extra_body={"raw": True}, **more)
    expected = client.completions.create(model="talker", prompt="She loved", max_tokens=12, temperature=0)
    assert answer.output_text == expected.choices[0].text
    assert answer.output_text != respond(client).output_text
    assert answer.usage.input_tokens == expected.usage.prompt_tokens
    assert answer.usage.output_tokens == 12
    asked = {"model": "talker", "input": "She loved", "extra_body": {"raw": True}}
    assert client.responses.input_tokens.count(**asked).input_tokens == expected.usage.prompt_tokens


def test_raw_in_the_background_is_read_from_any_event(client):
    begun = respond(client, background=True, extra_body={"raw": True})
    events = [event.to_dict() for event in client.responses.retrieve(begun.id, stream=True)]
    text = respond(client, extra_body={"raw": True}).output_text
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == text
    rest = [one.to_dict() for one in client.responses.retrieve(begun.id, stream=True, starting_after=4)]
    assert rest == events[5:]


@pytest.mark.parametrize(
    ("given", "more", "field"),
    [
        ("a", {"instructions": "Be brief."}, "instructions"),
        ("a", {"tools": [WEATHER]}, "tools"),
        ([user("a"), {"role": "assistant", "content": "b"}], {}, "input"),
    ],
)
def test_raw_refuses_a_conversation(client, given, more, field):
    with pytest.raises(openai.BadRequestError, match="raw") as caught:
        respond(client, given, extra_body={"raw": True}, **more)
    assert caught.value.param == field


def test_instructions_are_a_system_message(client):
    answer = respond(client, "a", instructions="Be short.")
    expected = chat(client, [{"role": "system", "content": "Be short."}, user("a")])
    assert answer.output_text == expected.choices[0].message.content
    assert answer.usage.input_tokens == expected.usage.prompt_tokens


def test_a_stream_is_the_same_response(client):
    events, whole = streamed(client), respond(client)
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    types = [event["type"].removeprefix("response.") for event in events if event not in deltas]
    assert types == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.done", "content_part.done",
        "output_item.done", "incomplete",
    ]  # fmt: skip
    assert "".join(event["delta"] for event in deltas) == whole.output_text
    (item,) = events[-1]["response"]["output"]
    assert item == events[-2]["item"]
    assert item["content"] == [events[-3]["part"]]
    assert events[-4]["text"] == item["content"][0]["text"] == whole.output_text
    assert {event["item_id"] for event in events if "item_id" in event} == {item["id"]}
    assert {event["response"]["id"] for event in events if "response" in event} == {events[-1]["response"]["id"]}


def test_log_probabilities(client):
    more = {"include": LOGPROBS, "top_logprobs": 2}
    expected = chat(client, [user("She loved")], logprobs=True, top_logprobs=2).choices[0].logprobs.content
    told = [(one.token, pytest.approx(one.logprob, abs=1e-4), len(one.top_logprobs)) for one in expected]
    part = respond(client, **more).output[0].content[0]
    assert [(one.token, one.logprob, len(one.top_logprobs)) for one in part.logprobs] == told
    events = streamed(client, **more)
    deltas = [one for event in events if event["type"] == "response.output_text.delta" for one in event["logprobs"]]
    assert [(one["token"], one["logprob"], len(one["top_logprobs"])) for one in deltas] == told
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == deltas


def test_a_demanded_call(client):
    more = {"model": "long", "max_output_tokens": 60, "tools": [WEATHER], "tool_choice": "required"}
    answer = respond(client, **more)
    (call,) = answer.output
    assert (call.type, call.name, call.status) == ("function_call", "weather", "completed")
    assert json.loads(call.arguments)["place"] in ("Lisboa", "Recife")
    named = respond(client, **{**more, "tool_choice": {"type": "function", "name": "weather"}})
    assert named.output[0].arguments == call.arguments
    events = streamed(client, **more)
    types = [event["type"].removeprefix("response.") for event in events]
    assert types[:3] == ["created", "in_progress", "output_item.added"]
    assert types[-3:] == ["function_call_arguments.done", "output_item.done", "completed"]
    assert set(types[3:-3]) == {"function_call_arguments.delta"}
    assert "".join(event["delta"] for event in events[3:-3]) == events[-3]["arguments"] == call.arguments
    assert events[-1]["response"]["output"] == [events[-2]["item"]]
    assert events[-2]["item"] == {
        **call.to_dict(),
        "id": events[2]["item"]["id"],
        "call_id": events[2]["item"]["call_id"],
    }


class Place(BaseModel):
    """A schema of the client's."""

    city: Literal["Lisboa", "Recife"]
    days: Literal[1, 2, 3]


def test_structured_output_is_parsed_by_the_client(client):
    more = {"model": "long", "input": "a", "max_output_tokens": 60, "temperature": 0, "text_format": Place}
    answer = client.responses.parse(**more)
    assert isinstance(answer.output_parsed, Place)
    assert answer.status == "completed"
    with client.responses.stream(**more) as stream:
        assert stream.get_final_response().output_parsed == answer.output_parsed
    loose = respond(client, model="long", text={"format": {"type": "json_object"}}, max_output_tokens=80)
    if loose.status == "completed":
        json.loads(loose.output_text)


def test_a_conversation_goes_on(client):
    first = respond(client, "She loved")
    second = respond(client, "More", previous_response_id=first.id)
    messages = [user("She loved"), {"role": "assistant", "content": first.output_text}, user("More")]
    expected = chat(client, messages).choices[0].message.content
    assert second.output_text == expected
    by_reference = respond(
        client, [user("She loved"), {"type": "item_reference", "id": first.output[0].id}, user("More")]
    )
    assert by_reference.output_text == expected
    by_items = respond(client, [user("She loved"), *[item.to_dict() for item in first.output], user("More")])
    assert by_items.output_text == expected
    third = respond(client, "x", previous_response_id=second.id, instructions="Be.")
    client.responses.delete(first.id)
    assert respond(client, "x", previous_response_id=second.id, instructions="Be.").output_text == third.output_text
    listed = [ITEM.validate_python(item.to_dict()) for item in client.responses.input_items.list(third.id, limit=2)]
    assert [item.role for item in listed] == ["user", "assistant", "user", "assistant", "user"]
    assert listed[-2].id == first.output[0].id
    oldest = client.responses.input_items.list(third.id, order="asc", limit=1)
    assert oldest.data[0].content[0].text == "She loved"
    assert oldest.has_more


def test_responses_that_are_not_kept_are_not_found(client):
    kept, not_kept = respond(client), respond(client, store=False)
    assert (kept.store, not_kept.store) == (True, False)
    assert client.responses.retrieve(kept.id).to_dict() == kept.to_dict()
    client.responses.delete(kept.id)
    for gone in (kept.id, not_kept.id, "resp_0"):
        with pytest.raises(openai.NotFoundError, match=f"no response '{gone}' is kept here for your key"):
            client.responses.retrieve(gone)
        with pytest.raises(openai.NotFoundError):
            client.responses.delete(gone)
        with pytest.raises(openai.BadRequestError, match="is kept here") as refused:
            respond(client, previous_response_id=gone)
        assert (refused.value.param, refused.value.code) == ("previous_response_id", "previous_response_not_found")


def test_fields_without_effect_are_named(client):
    answer = respond(
        client, [user("a"), {"type": "reasoning", "id": "rs_1", "summary": []}], service_tier="auto",
        extra_body={"temperatur": 1}, top_logprobs=3, include=["web_search_call.results"],
    )  # fmt: skip
    told = " ".join(answer.model_extra["warnings"])
    for word in ("service_tier", "temperatur; did you mean", "top_logprobs", "web_search_call.results", "input[1]"):
        assert word in told


@pytest.mark.parametrize(
    ("more", "param", "says"),
    [
        ({"input": []}, "input", "give at least 1"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type", "function_call_output"),
        ({"input": [{"role": "robot", "content": "a"}]}, "input[0].role", "'robot'"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type", "only text"),
        ({"input": [{"type": "function_call_output", "output": "a"}]}, "input[0].call_id", "give a text"),
        ({"input": [{"type": "item_reference", "id": "msg_9"}]}, "input[0].id", "send the item itself"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "function"),
        ({"tools": [WEATHER], "tool_choice": {"type": "mcp"}}, "tool_choice.type", "only functions"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema", "schema"),
        ({"background": True, "store": False}, "background", "leave store out"),
        ({"max_output_tokens": 0}, "max_output_tokens", "give at least 1"),
        ({"metadata": {"a": "b" * 513}}, "metadata.a", "512"),
        ({"extra_body": {"conversation": "conv_1"}}, "conversation", "previous_response_id"),
        ({"extra_body": {"n": 2}}, "n", "one answer"),
        (
            {"tools": [WEATHER], "tool_choice": "required", "text": {"format": {"type": "json_object"}}},
            None, "leave one",
        ),
    ],
)  # fmt: skip
def test_refused_with_the_field_as_it_was_written(client, more, param, says):
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**{"model": "talker", "input": "a", **more})
    assert says in refused.value.body["message"]
    assert refused.value.param == param


def test_overlong_input_is_refused_or_cut(client):
    long = "She loved the sea. " * 80
    with pytest.raises(openai.BadRequestError, match="truncation") as refused:
        respond(client, long)
    assert refused.value.code == "context_length_exceeded"
    answer = respond(client, long, truncation="auto", max_output_tokens=4)
    assert answer.truncation == "auto"
    assert answer.usage.model_extra["truncated_tokens"] > 0
    assert any("oldest" in warning for warning in answer.model_extra["warnings"])


def test_the_oldest_turns_are_left_out(client):
    """The last turns that fit are read, and the system message."""
    system = {"role": "system", "content": "Be short."}
    call = [
        {"type": "function_call", "call_id": "call_1", "name": "clock", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "noon " * 30},
    ]
    turns = [[user(f"{number} " + "the sea " * 10), *(call if number % 2 else ())] for number in range(12)]
    answer = respond(client, [system, *chain(*turns)], truncation="auto", max_output_tokens=4)
    with pytest.raises(openai.BadRequestError, match="the model's context"):
        respond(client, [system, *chain(*turns)])
    begin, alone = len(turns), None
    with contextlib.suppress(openai.BadRequestError):
        while begin and (more := respond(client, [system, *chain(*turns[begin - 1 :])], max_output_tokens=4)):
            if more.usage.input_tokens > 512 - 4:
                break
            begin, alone = begin - 1, more
    assert 6 < begin < 11
    assert answer.output_text == alone.output_text
    assert answer.usage.input_tokens == alone.usage.input_tokens
    assert answer.usage.model_extra["truncated_tokens"] == 0
    left = sum(len(turn) for turn in turns[:begin])
    (warning,) = answer.model_extra["warnings"]
    assert f"the oldest {left} items were left out" in warning
    assert len(client.responses.input_items.list(answer.id, limit=100).data) == 1 + sum(len(turn) for turn in turns)


def test_the_tokens_of_a_request_are_counted_without_an_answer(client):
    first = respond(client)
    more = {"input": "And then?", "previous_response_id": first.id, "instructions": "Be brief."}
    counted = client.responses.input_tokens.count(model="long", **more)
    assert counted.object == "response.input_tokens"
    assert counted.input_tokens == client.responses.create(model="long", max_output_tokens=1, **more).usage.input_tokens
    told = [{"role": "system", "content": "Be brief."}]
    rendered = client.post("/../apply-template", body={"model": "long", "messages": told}, cast_to=object)
    assert client.responses.input_tokens.count(model="long", instructions="Be brief.").input_tokens == len(
        rendered["tokens"]
    )
    assert client.responses.input_tokens.count(model="long").input_tokens == 0


def test_a_key_sees_its_own_responses_only():
    model = served("talker", template="{{ messages[-1].content }}")
    with (
        running([model], api_keys=("one", "two")) as url,
        client_of(url, "one") as mine,
        client_of(url, "two") as other,
    ):
        answer = respond(mine)
        for ask in (other.responses.retrieve, other.responses.delete, other.responses.cancel):
            with pytest.raises(openai.NotFoundError):
                ask(answer.id)
        with pytest.raises(openai.BadRequestError, match="is kept here"):
            respond(other, previous_response_id=answer.id)
        with pytest.raises(openai.BadRequestError, match="send the item itself"):
            respond(other, [{"type": "item_reference", "id": answer.output[0].id}])
        assert mine.responses.retrieve(answer.id).id == answer.id
