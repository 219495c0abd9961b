"""The real `anthropic` client, against the same models in OpenAI's protocol and Anthropic's documentation."""

import asyncio
import json

import anthropic
import httpx2
import pytest

from lavra.server.anthropic.requests import chat_body
from lavra.server.anthropic.schemas import MessagesBody
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.server.conftest import running, served

GREEDY = {"temperature": 0}
ASKED = [{"role": "user", "content": "She loved"}]
WEATHER = {
    "name": "weather",
    "description": "The weather of a place.",
    "input_schema": {
        "type": "object",
        "properties": {"place": {"enum": ["Lisboa", "Recife"]}, "days": {"type": "integer", "enum": [1, 2]}},
        "required": ["place", "days"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def claude(url):
    with anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0) as client:
        yield client


def create(claude, **more):
    return claude.messages.create(
        **{"model": "long", "max_tokens": 12, "messages": ASKED, "extra_body": GREEDY, **more}
    )


def as_chat(client, messages=ASKED, **more):
    settings = {"model": "long", "max_tokens": 12, "temperature": 0, **more}
    return client.chat.completions.create(messages=messages, **settings)


def test_a_message_is_what_openais_protocol_answers(claude, client):
    message, expected = create(claude), as_chat(client)
    (block,) = message.content
    assert block.text == expected.choices[0].message.content
    assert (message.role, message.type, message.model) == ("assistant", "message", "long")
    assert (message.stop_reason, message.stop_sequence) == ("max_tokens", None)
    read = message.usage.input_tokens + message.usage.cache_read_input_tokens
    assert (read, message.usage.output_tokens) == (expected.usage.prompt_tokens, 12)
    assert message.model_extra["warnings"] == []
    assert message._request_id


def test_a_stream_tells_the_same_in_anthropics_order(claude):
    whole = create(claude)
    with claude.messages.stream(model="long", max_tokens=12, messages=ASKED, extra_body=GREEDY) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta", "text"}
    assert message.content[0].text == whole.content[0].text
    assert message.stop_reason == whole.stop_reason
    assert message.usage.output_tokens == whole.usage.output_tokens
    both = [one.usage.input_tokens + one.usage.cache_read_input_tokens for one in (message, whole)]
    assert both[0] == both[1]


def test_raw_events_are_named_and_begin_with_what_is_read(http):
    body = {"model": "long", "max_tokens": 3, "messages": ASKED, "stream": True, **GREEDY}
    text = http.post("/v1/messages", json=body).text
    events = [event.split("\n") for event in text.strip().split("\n\n")]
    data = [json.loads(lines[1].removeprefix("data: ")) for lines in events]
    assert [lines[0] for lines in events] == [f"event: {one['type']}" for one in data]
    assert data[0]["message"]["usage"]["input_tokens"] > 0
    assert data[1] == {"type": "ping"}
    assert data[-2]["warnings"] == []


def test_the_async_client_streams(url):
    async def read():
        async with anthropic.AsyncAnthropic(base_url=url, api_key="unused", max_retries=0) as client:
            settings = {"model": "long", "max_tokens": 12, "messages": ASKED, "extra_body": GREEDY}
            async with client.messages.stream(**settings) as stream:
                return "".join([text async for text in stream.text_stream]), await client.messages.create(**settings)

    text, whole = asyncio.run(read())
    assert text == whole.content[0].text


def test_a_system_prompt_and_blocks_are_the_messages_of_openai(claude, client):
    blocks = [{"type": "text", "text": "She"}, {"type": "text", "text": "loved"}]
    message = create(
        claude, system=[{"type": "text", "text": "Be kind."}], messages=[{"role": "user", "content": blocks}]
    )
    expected = as_chat(client, [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "She\nloved"}])
    assert message.content[0].text == expected.choices[0].message.content


def test_neighbouring_messages_of_a_user_are_one_turn(claude):
    apart = create(claude, messages=[{"role": "user", "content": "She"}, {"role": "user", "content": "loved"}])
    assert apart.content[0].text == create(claude, messages=[{"role": "user", "content": "She\nloved"}]).content[0].text


def test_a_last_message_of_the_assistant_is_continued(claude, client):
    history = [*ASKED, {"role": "assistant", "content": "a red"}]
    going_on = {"continue_final_message": True, "add_generation_prompt": False}
    expected = as_chat(client, history, extra_body=going_on).choices[0].message.content
    assert create(claude, messages=history).content[0].text == expected
    assert expected != as_chat(client, history).choices[0].message.content


def test_a_stop_sequence_is_named(claude):
    text = create(claude).content[0].text
    stop = text[2:4]
    message = create(claude, stop_sequences=["never written", stop])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", stop)
    assert message.content[0].text == text[: text.index(stop)]


def test_a_full_context_is_distinguished_from_max_tokens(claude):
    message = create(claude, max_tokens=5000)
    assert message.stop_reason in ("model_context_window_exceeded", "end_turn")
    assert "max_tokens was lowered from 5000" in message.model_extra["warnings"][0]


@pytest.mark.parametrize(
    "choice", [{"type": "any"}, {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}]
)
def test_a_demanded_tool_is_called_whole_and_streamed(claude, choice):
    settings = {"tools": [WEATHER], "tool_choice": choice, "max_tokens": 120}
    message = create(claude, **settings)
    with claude.messages.stream(model="long", messages=ASKED, extra_body=GREEDY, **settings) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert message.stop_reason == streamed.stop_reason == "tool_use"
    (call,), (streamed_call,) = message.content, streamed.content
    assert call.name == "weather"
    assert call.input == streamed_call.input
    assert call.input["place"] in ("Lisboa", "Recife")
    assert "input_json" in kinds
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1


def test_a_tool_round_trip_reads_as_openais_does(claude, client):
    first = create(claude, tools=[WEATHER], tool_choice={"type": "any"}, max_tokens=120)
    call = first.content[0]
    history = [
        *ASKED,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]},
    ]
    function = {"name": call.name, "arguments": json.dumps(call.input)}
    expected = as_chat(
        client,
        [
            *ASKED,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": call.id, "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "rain"},
        ],
    )
    assert create(claude, messages=history).content[0].text == expected.choices[0].message.content


def test_counting_reads_what_a_message_reads(claude):
    conversation = {"system": "Be kind.", "messages": ASKED, "tools": [WEATHER]}
    usage = create(claude, **conversation).usage
    counted = claude.messages.count_tokens(model="long", **conversation)
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_an_answer_has_the_form_its_schema_demands(claude):
    schema = {
        "type": "object",
        "properties": {"place": {"enum": ["Lisboa"]}},
        "required": ["place"],
        "additionalProperties": False,
    }
    message = create(claude, max_tokens=60, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(message.content[0].text) == {"place": "Lisboa"}


def test_models_are_anthropics_only_for_its_clients(claude, client):
    found = {model.id: model for model in claude.models.list(limit=2)}  # page by page
    assert set(found) == {model.id for model in client.models.list()}
    assert found["long"].max_input_tokens == client.models.retrieve("long").model_extra["max_model_len"]
    assert claude.models.retrieve("long").type == "model"
    assert [model.id for model in claude.models.list(before_id="long").data] == ["writer", "talker"]


def said(*blocks):
    return {"messages": [{"role": "user", "content": list(blocks)}]}


SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        (said(), "at least one text block"),
        (said({"type": "image", "source": {}}), "messages.0.content.0 is a block of type 'image'"),
        (said({"type": ["text"]}), "messages.0.content.0.type is ['text']"),
        (said({"type": "tool_result", "tool_use_id": "x"}), "messages.0.content.0.tool_use_id is 'x'"),
        (said({"type": "text", "text": 5}), "messages.0.content.0.text must be a text"),
        ({"tools": [SEARCH]}, "tools.0 is of type 'web_search_20250305'"),
        ({"tools": [{"name": "clock"}]}, "tools.0.input_schema is missing"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "wether"}}, "did you mean 'weather'"),
    ],
)
def test_a_bad_request_names_its_place(claude, more, says):
    with pytest.raises(anthropic.BadRequestError) as raised:
        create(claude, **more)
    assert raised.value.body["type"] == "error"
    assert raised.value.body["error"]["type"] == "invalid_request_error"
    assert says in raised.value.body["error"]["message"]


def test_an_unknown_model_is_not_found(claude):
    with pytest.raises(anthropic.NotFoundError, match="'nobody' is not served here"):
        create(claude, model="nobody")


def test_fields_without_effect_are_named(claude):
    thought = {"type": "thinking", "thinking": "b", "signature": ""}
    history = [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "c"}]},
        *ASKED,
    ]
    body = {**GREEDY, "top_kk": 3}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    message = create(claude, messages=history, metadata={"user_id": "u"}, thinking=thinking, extra_body=body)
    assert message.model_extra["warnings"] == [
        "metadata has no effect here",
        "unknown field top_kk; did you mean 'top_k'?; it had no effect",
        "thinking has no effect here: what the model writes is its answer",
        "thinking blocks of earlier answers were left out: the model does not read them",
        "cache_control has no effect here: what prompts have in common is reused without it",
    ]


def test_a_failed_result_says_so_to_the_model():
    text = {"type": "text", "text": "no net"}
    failed = {"type": "tool_result", "tool_use_id": "t", "content": [text], "is_error": True}
    history = [
        *ASKED,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {}}]},
        {"role": "user", "content": [failed, {"type": "text", "text": "go on"}]},
    ]
    chat, warnings = chat_body(MessagesBody(max_tokens=1, messages=history), strict=True)
    assert [message.role for message in chat.messages] == ["user", "assistant", "tool", "user"]
    assert chat.messages[2].content == "Error: no net"
    assert warnings == []


def test_a_stream_that_fails_ends_with_anthropics_error():
    model = served("talker", template=DEFAULT_CHAT_TEMPLATE)

    def fail(batch):
        raise RuntimeError("a fault of ours")

    model.engine._passes.runner.forward = fail
    with running([model]) as url, anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0) as claude:
        stream = claude.messages.create(model="talker", max_tokens=2, messages=ASKED, stream=True)
        with pytest.raises(anthropic.APIStatusError) as raised:
            list(stream)
    assert raised.value.body["error"]["type"] == "api_error"
    assert "fault of ours" not in str(raised.value)


def test_a_key_is_needed_in_anthropics_shape():
    with running([served("writer")], api_keys=("k",)) as url:
        response = httpx2.post(f"{url}/v1/messages", json={})
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"
