"""The real `ollama` client, against the same models in OpenAI's protocol."""

import asyncio
import json
import time

import httpx2
import numpy as np
import ollama
import pytest

from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.server.conftest import running, served
from tests.server.dictation import dictating

GREEDY = {"temperature": 0, "num_predict": 12}
ASKED = [{"role": "user", "content": "She loved"}]


@pytest.fixture(scope="module")
def llama(url):
    return ollama.Client(host=url)


@pytest.fixture(scope="module")
def expected(client):
    return client.chat.completions.create(model="long", messages=ASKED, max_tokens=12, temperature=0)


def weather(place: str, days: int) -> str:
    """The weather of a place.

    Args:
        place: its name.
        days: how many.
    """
    return f"rain in {place} for {days} days"


def test_a_chat_is_what_openais_protocol_answers(llama, expected):
    began = time.perf_counter_ns()
    answer = llama.chat("long:latest", messages=ASKED, options=GREEDY)
    took = time.perf_counter_ns() - began
    assert answer.message.content == expected.choices[0].message.content
    assert (answer.model, answer.message.role, answer.done) == ("long:latest", "assistant", True)
    assert answer.done_reason == "length"
    assert (answer.prompt_eval_count, answer.eval_count) == (expected.usage.prompt_tokens, 12)
    assert answer.total_duration == answer.prompt_eval_duration + answer.eval_duration
    assert 0 < answer.eval_duration < answer.total_duration < took
    assert answer.load_duration == 0


def test_lines_add_up_to_the_whole(llama, expected):
    lines = list(llama.chat("long", messages=ASKED, options=GREEDY, stream=True))
    assert "".join(line.message.content for line in lines) == expected.choices[0].message.content
    assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
    assert (lines[-1].done_reason, lines[-1].eval_count) == ("length", 12)
    assert lines[0].eval_count is None


def test_a_raw_request_streams_lines_unless_told_otherwise(http):
    response = http.post("/api/chat", json={"model": "long", "messages": ASKED, "options": GREEDY})
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert lines[-1]["done"]
    assert lines[-1]["warnings"] == []


def test_the_async_client(url, expected):
    async def read():
        client = ollama.AsyncClient(host=url)
        stream = await client.chat("long", messages=ASKED, options=GREEDY, stream=True)
        return "".join([line.message.content async for line in stream])

    assert asyncio.run(read()) == expected.choices[0].message.content


def test_a_prompt_is_a_message_where_the_model_has_a_template(llama, client):
    messages = [{"role": "system", "content": "Be kind."}, *ASKED]
    whole = client.chat.completions.create(model="long", messages=messages, max_tokens=12, temperature=0)
    answer = llama.generate("long", "She loved", system="Be kind.", options=GREEDY)
    assert answer.response == whole.choices[0].message.content
    lines = llama.generate("long", "She loved", system="Be kind.", options=GREEDY, stream=True)
    assert "".join(line.response for line in lines) == answer.response


@pytest.mark.parametrize(("model", "raw"), [("long", True), ("writer", None)])
def test_a_prompt_is_continued_as_it_stands(llama, client, model, raw):
    text = client.completions.create(model=model, prompt="She loved", max_tokens=12, temperature=0).choices[0].text
    answer = llama.generate(model, "She loved", raw=raw, options=GREEDY)
    assert answer.response == text


def test_a_last_message_of_the_assistant_is_continued(llama, client):
    history = [*ASKED, {"role": "assistant", "content": "a red"}]
    going_on = {"continue_final_message": True, "add_generation_prompt": False}
    whole = client.chat.completions.create(
        model="long", messages=history, max_tokens=12, temperature=0, extra_body=going_on
    )
    assert llama.chat("long", messages=history, options=GREEDY).message.content == whole.choices[0].message.content


def test_options_do_what_openais_fields_do(llama, client):
    fields = {"temperature": 1.5, "top_p": 0.9, "presence_penalty": 0.5, "frequency_penalty": 0.25, "seed": 7}
    ours = {"top_k": 40, "min_p": 0.01, "repetition_penalty": 1.3}
    whole = client.chat.completions.create(
        model="long", messages=ASKED, max_tokens=20, stop=["e"], **fields, extra_body=ours
    )
    options = {"num_predict": 20, "stop": "e", **fields, "top_k": 40, "min_p": 0.01, "repeat_penalty": 1.3}
    answer = llama.chat("long", messages=ASKED, options=options)
    assert answer.message.content == whole.choices[0].message.content
    assert answer.done_reason == whole.choices[0].finish_reason


def test_log_probabilities_are_those_of_openai(llama, client):
    settings = {"max_tokens": 5, "temperature": 0, "logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(model="long", messages=ASKED, **settings).choices[0].logprobs.content
    options = {"num_predict": 5, "temperature": 0}
    answer = llama.chat("long", messages=ASKED, options=options, logprobs=True, top_logprobs=2)
    lines = llama.chat("long", messages=ASKED, options=options, logprobs=True, top_logprobs=2, stream=True)
    streamed = [one for line in lines for one in line.logprobs or ()]
    assert [one.token for one in answer.logprobs] == [one.token for one in whole]
    assert [one.token for one in streamed] == [one.token for one in whole]
    np.testing.assert_allclose([one.logprob for one in answer.logprobs], [one.logprob for one in whole], atol=1e-5)
    assert [len(one.top_logprobs) for one in answer.logprobs] == [2] * 5


def test_an_answer_has_its_schemas_form(llama):
    schema = {
        "type": "object",
        "properties": {"place": {"enum": ["Lisboa"]}},
        "required": ["place"],
        "additionalProperties": False,
    }
    options = {**GREEDY, "num_predict": 60}
    answer = llama.chat("long", messages=ASKED, format=schema, options=options)
    assert json.loads(answer.message.content) == {"place": "Lisboa"}
    text = llama.generate("long", "She loved", format="json", options=options).response
    assert text.lstrip().startswith("{")


OFFERED = {
    "name": "weather",
    "description": "The weather of a place.",
    "parameters": {
        "type": "object",
        "required": ["place", "days"],
        "properties": {
            "place": {"type": "string", "description": "its name."},
            "days": {"type": "integer", "description": "how many."},
        },
    },
}


@pytest.fixture(scope="module")
def dictated():
    """A client of a server whose model writes a given text, the runner behind it, and the URL."""
    with dictating() as (client, runner):
        url = str(client.base_url).removesuffix("/v1/")
        yield ollama.Client(host=url), runner, url


def test_tools_and_their_results_read_as_openais_do(dictated):
    client, runner, url = dictated
    runner.say("It rains.")
    function = {"name": "weather", "arguments": {"place": "Recife", "days": 2}}
    result = {"role": "tool", "content": weather("Recife", 2)}
    history = [*ASKED, {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}]
    messages = [*history, {**result, "tool_name": "weather"}]
    answer = client.chat("long", messages=messages, tools=[weather], options=GREEDY)
    body = {"messages": [*history, result], "tools": [{"type": "function", "function": OFFERED}]}
    shown = httpx2.post(f"{url}/apply-template", json=body).json()
    assert answer.message.content == "It rains."
    assert answer.prompt_eval_count == len(shown["tokens"])


def test_a_call_that_the_model_writes_is_an_object(dictated):
    client, runner, _ = dictated
    runner.say('<tool_call>{"name": "weather", "arguments": {"place": "Recife"}}</tool_call>')
    asked = {"messages": ASKED, "tools": [weather], "options": {"temperature": 0}}
    answer = client.chat("long", **asked)
    lines = list(client.chat("long", **asked, stream=True))
    (call,) = answer.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", {"place": "Recife"})
    assert answer.message.content == ""
    assert [call.function for line in lines for call in line.message.tool_calls or ()] == [call.function]
    assert "".join(line.message.content for line in lines) == ""


def test_embeddings_are_those_of_openai(llama, client):
    texts = ["She loved", "a red ball"]
    vectors = [one.embedding for one in client.embeddings.create(model="embedder", input=texts).data]
    answer = llama.embed("embedder:latest", texts)
    np.testing.assert_allclose(answer.embeddings, vectors, atol=1e-6)
    assert answer.prompt_eval_count > 0
    np.testing.assert_allclose(llama.embeddings("embedder", texts[0]).embedding, vectors[0], atol=1e-6)
    assert len(llama.embed("embedder", "a", dimensions=8).embeddings[0]) == 8
    long = "a red ball " * 200
    assert len(llama.embed("embedder", long).embeddings) == 1
    with pytest.raises(ollama.ResponseError, match="truncate: true"):
        llama.embed("embedder", long, truncate=False)


def test_models_are_listed_shown_and_running(llama, client):
    names = [model.model for model in llama.list().models]
    assert names == [f"{model.id}:latest" for model in client.models.list()]
    shown = llama.show("talker")
    assert shown.template == DEFAULT_CHAT_TEMPLATE
    assert shown.capabilities == ["completion", "tools"]
    assert shown.modelinfo["lavra.context_length"] == client.models.retrieve("talker").model_extra["max_model_len"]
    assert llama.show("embedder:latest").capabilities == ["embedding"]
    assert {model.model: model.context_length for model in llama.ps().models}["talker:latest"] == 64
    assert llama._request_raw("GET", "/api/version").json()["version"]


def test_a_request_without_text_says_that_the_model_is_there(llama, http):
    assert llama.generate("long").done_reason == "load"
    assert llama.chat("long").done_reason == "load"
    answer = http.post("/api/generate", json={"model": "long", "keep_alive": 0}).json()
    assert answer["warnings"] == ["keep_alive has no effect here: models stay loaded"]


@pytest.mark.parametrize(
    "change",
    [
        lambda client: client.pull("x"),
        lambda client: list(client.pull("x", stream=True)),
        lambda client: client.push("x"),
        lambda client: client.create("x", from_="y"),
        lambda client: client.copy("x", "y"),
        lambda client: client.delete("x"),
    ],
)
def test_models_are_not_changed_while_the_server_runs(llama, change):
    with pytest.raises(ollama.ResponseError, match="lavra serve NAME=FOLDER") as raised:
        change(llama)
    assert raised.value.status_code == 400


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda client: client.chat("long", messages=ASKED, options={"temperature": -1}), "options.temperature"),
        (lambda client: client.generate("long", "a", template="{{ .Prompt }}"), "Go's notation"),
        (lambda client: client.generate("long", "a", context=[1, 2]), "/api/chat as messages"),
        (lambda client: client.generate("long", "a", suffix="b"), "was not trained to fill gaps"),
        (lambda client: client.generate("long", "a", images=["YWJj"]), "images: models here read text only"),
        (lambda client: client.chat("long", messages=[{**ASKED[0], "images": ["YWJj"]}]), "messages.0.images"),
        (lambda client: client.generate("embedder", "a"), "embedder is an encoder"),
    ],
)
def test_unsupported_fields_are_refused_by_name(llama, ask, says):
    with pytest.raises(ollama.ResponseError) as raised:
        ask(llama)
    assert raised.value.status_code == 400
    assert says in raised.value.error


def test_an_unknown_model_is_not_found_whole_or_streamed(llama):
    for stream in (False, True):
        with pytest.raises(ollama.ResponseError, match="'nobody' is not served here") as raised:
            list(llama.chat("nobody", messages=ASKED, stream=stream))
        assert raised.value.status_code == 404


def test_fields_without_effect_are_named(http):
    options = {**GREEDY, "num_ctx": 4096, "mirostat": 0, "typical_p": 0.5, "temprature": 1}
    body = {"model": "long", "messages": ASKED, "options": options, "stream": False, "keep_alive": "5m", "think": False}
    assert http.post("/api/chat", json=body).json()["warnings"] == [
        "keep_alive has no effect here",
        "options.num_ctx has no effect here",
        "options.typical_p has no effect here",
        "unknown option options.temprature; did you mean 'temperature'?; it had no effect",
    ]


def test_a_stream_that_fails_ends_with_an_error():
    model = served("talker", template=DEFAULT_CHAT_TEMPLATE)

    def fail(batch):
        raise RuntimeError("a fault of ours")

    model.engine._passes.runner.forward = fail
    with running([model]) as url, pytest.raises(ollama.ResponseError, match="the server failed"):
        list(ollama.Client(host=url).chat("talker", messages=ASKED, stream=True))
