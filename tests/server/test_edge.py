"""Misuse of a server: nothing silent, nothing lost, never a 500."""

import asyncio
import gc
import json
import socket
import threading
import time

import httpx2
import pytest

from lavra.base.errors import ConfigError, InputError
from lavra.server.app import build_app
from lavra.server.chat_page.page import CHAT_FILES
from lavra.server.config import ServeConfig
from lavra.server.openai import completions
from lavra.server.run import open_socket
from lavra.server.served import ModelTable
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.server.conftest import running, served

ASK = {"model": "writer", "prompt": "Once upon a time", "max_tokens": 4, "temperature": 0}


def events(response):
    lines = [line for line in response.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_fields_without_effect_are_named(http):
    answer = http.post("/v1/completions", json={**ASK, "user": "me", "maxtokens": 3, "zzz": 1}).json()
    assert "user has no effect here" in answer["warnings"]
    assert any("did you mean 'max_tokens'" in warning for warning in answer["warnings"])
    assert any("unknown field zzz" in warning for warning in answer["warnings"])
    streamed = events(http.post("/v1/completions", json={**ASK, "user": "me", "stream": True}))
    assert streamed[-1]["warnings"] == ["user has no effect here"]


def test_a_clamp_is_named(http):
    answer = http.post("/v1/completions", json={**ASK, "max_tokens": 1000}).json()
    assert any("max_tokens was lowered from 1000" in warning for warning in answer["warnings"])


def test_strict_makes_unknown_fields_errors():
    model = served("writer")
    with running([model], strict=True) as url:
        answer = httpx2.post(f"{url}/v1/completions", json={**ASK, "maxtokens": 3})
        assert answer.status_code == 400
        assert "did you mean 'max_tokens'" in answer.json()["error"]["message"]
        assert httpx2.post(f"{url}/v1/completions", json=ASK).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"prompt": "\xff"}',
        b'{"prompt": 3}',
        b'{"prompt": [1.5]}',
        b'{"prompt": [[]]}',
        b'{"prompt": []}',
        b'{"prompt": {"a": 1}}',
        b'{"prompt": "a", "n": 1e99}',
        b'{"prompt": "a", "n": -1}',
        b'{"prompt": "a", "temperature": NaN}',
        b'{"prompt": "a", "temperature": "hot"}',
        b'{"prompt": "a", "logit_bias": {"-1": 1}}',
        b'{"prompt": "a", "logit_bias": {"99999999999": 1}}',
        b'{"prompt": "a", "seed": 1e40}',
        b'{"prompt": "a", "stop": [""]}',
        b'{"prompt": [-1]}',
        b'{"prompt": "\\ud800"}',
        b"[" * 5000,
        b'{"prompt": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    ],
)
def test_malformed_requests_get_a_400_of_openais_shape(http, body):
    answer = http.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert http.post("/v1/completions", json=ASK).status_code == 200


def test_a_body_over_the_bound_is_refused_for_any_header():
    model = served("writer")
    with running([model], max_body_bytes=2000) as url:
        body = json.dumps({**ASK, "prompt": "a" * 5000}).encode()
        headers = {"content-type": "application/json"}
        assert httpx2.post(f"{url}/v1/completions", content=body, headers=headers).status_code == 413
        chunks = (body[start : start + 500] for start in range(0, len(body), 500))
        assert httpx2.post(f"{url}/v1/completions", content=chunks, headers=headers).status_code == 413


def test_keys():
    model = served("writer")
    with running([model], api_keys=("one", "two")) as url:
        for key, status in (("one", 200), ("two", 200), ("three", 401), ("on", 401)):
            answer = httpx2.post(f"{url}/v1/completions", json=ASK, headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == status
        assert httpx2.post(f"{url}/v1/completions", json=ASK).json()["error"]["code"] == "invalid_api_key"
        assert httpx2.get(f"{url}/health").status_code == 200
        assert httpx2.get(f"{url}/metrics").status_code == 401
    assert "one" not in repr(ServeConfig(api_keys=("one",)))


def test_every_answer_has_an_id(http):
    assert http.get("/health", headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    assert http.get("/health").headers["x-request-id"] != http.get("/health").headers["x-request-id"]


def test_no_page_of_another_origin_may_ask_unless_allowed(http):
    asked = {"origin": "http://elsewhere.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in http.options("/v1/completions", headers=asked).headers
    with running([served("writer")], cors_origins=("http://elsewhere.example",)) as url:
        allowed = httpx2.options(f"{url}/v1/completions", headers=asked).headers
        assert allowed["access-control-allow-origin"] == "http://elsewhere.example"


def test_prompts_of_one_request_start_together_or_not_at_all():
    model = served("writer", num_blocks=32)
    with running([model]) as url:
        bad = httpx2.post(f"{url}/v1/completions", json={**ASK, "prompt": ["She", [999999]], "max_tokens": 50})
        assert bad.status_code == 400
        until(lambda: model.engine.stats().running + model.engine.stats().waiting == 0)
        assert model.engine.stats().written_tokens < 50


def test_usage_of_a_stream_is_by_prompt_in_any_order_of_ends(http, monkeypatch):
    """Samples of two prompts end in turns: each prompt still counts once."""
    order = (0, 2, 1, 3)

    async def in_turns(streams):
        whole = [[delta async for delta in stream][-1] for stream in streams]
        for index in order:
            yield index, whole[index]

    body = {**ASK, "prompt": ["Once upon a time there was a girl", "She"], "n": 2, "temperature": 1.0, "seed": 2}
    expected = http.post("/v1/completions", json=body).json()["usage"]
    monkeypatch.setattr(completions, "read_pieces", in_turns)
    asked = {**body, "stream_options": {"include_usage": True}, "stream": True}
    usage = events(http.post("/v1/completions", json=asked))[-1]["usage"]
    assert usage["prompt_tokens"] == expected["prompt_tokens"]
    assert usage["completion_tokens"] == expected["completion_tokens"]


def test_streamed_echoes_are_each_prompts_own(http):
    body = {**ASK, "prompt": ["She", "Lily"], "max_tokens": 0, "echo": True, "n": 2, "stream": True}
    choices = [event["choices"][0] for event in events(http.post("/v1/completions", json=body))]
    assert [(choice["text"], choice["finish_reason"]) for choice in choices] == [("She", "length"), ("Lily", "length")]


def test_a_full_queue_is_a_429_that_says_when_to_come_back():
    model = served("writer", max_queue=1, max_running=1)
    with running([model]) as url:
        engine, hold = model.engine, threading.Event()
        forward = engine._passes.runner.forward
        engine._passes.runner.forward = lambda batch: (hold.wait(), forward(batch))[1]
        answers = []

        def ask():
            answers.append(httpx2.post(f"{url}/v1/completions", json=ASK, timeout=60))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        threads[0].start()
        until(lambda: engine.stats().running == 1)
        threads[1].start()
        until(lambda: engine.stats().waiting == 1)
        for _ in range(3):
            refused = httpx2.post(f"{url}/v1/completions", json=ASK, timeout=60)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
        hold.set()
        for thread in threads:
            thread.join()
    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_blocks(stream):
    model = served("writer", num_blocks=32)
    engine, slow = model.engine, threading.Event()
    forward = engine._passes.runner.forward
    engine._passes.runner.forward = lambda batch: (slow.wait(0.05), forward(batch))[1]
    with running([model]) as url:
        host, port = url.removeprefix("http://").split(":")
        body = json.dumps({**ASK, "max_tokens": 50, "stream": stream}).encode()
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            until(lambda: engine.stats().written_tokens > 2)
        until(lambda: engine.stats().running == 0)
        assert engine.stats().written_tokens < 30
        assert engine.stats().free_blocks == 32


@pytest.mark.parametrize("sent", [0, 1])
def test_a_client_that_leaves_before_the_first_event_frees_its_blocks_too(sent):
    """It disconnects after the status line, or after the first event, which has the role and no text."""
    model = served("talker", template=DEFAULT_CHAT_TEMPLATE, num_blocks=32)
    engine, step = model.engine, threading.Event()
    forward = engine._passes.runner.forward
    engine._passes.runner.forward = lambda batch: (step.wait(0.05), forward(batch))[1]
    ask = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 40, "temperature": 0, "stream": True}

    async def leave():
        gone, came = asyncio.Event(), []

        async def receive():
            if not came:
                came.append("body")
                return {"type": "http.request", "body": json.dumps(ask).encode(), "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            came.append(message["type"])
            if len(came) == 2 + sent:  # the body, then what was sent
                gone.set()
                await asyncio.sleep(60)  # a socket without a reader

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "asgi": {"spec_version": "2.3"},  # uvicorn's
        }
        await build_app(ModelTable([model]))(scope, receive, send)

    asyncio.run(leave())
    until(lambda: engine.stats().running == 0)
    assert engine.stats().written_tokens < 10
    assert engine.stats().free_blocks == 32
    engine.close()


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def test_stopping_lets_running_requests_end():
    model = served("writer")
    engine, slow = model.engine, threading.Event()
    forward = engine._passes.runner.forward
    engine._passes.runner.forward = lambda batch: (slow.wait(0.05), forward(batch))[1]
    answers = []
    with running([model]) as url:
        thread = threading.Thread(
            target=lambda: answers.append(
                httpx2.post(f"{url}/v1/completions", json={**ASK, "max_tokens": 20}, timeout=60)
            )
        )
        thread.start()
        until(lambda: engine.stats().written_tokens > 2)
    thread.join()
    assert answers[0].status_code == 200
    assert answers[0].json()["usage"]["completion_tokens"] == 20


def test_an_internal_error_reveals_no_details(http, caplog):
    model = served("writer")
    with running([model]) as url:

        def fail(batch):
            raise RuntimeError("secret detail")

        model.engine._passes.runner.forward = fail
        answer = httpx2.post(f"{url}/v1/completions", json=ASK, headers={"X-Request-Id": "whole"})
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert answer.headers["x-request-id"] == "whole"
        ask, headers = {**ASK, "stream": True}, {"X-Request-Id": "streamed"}
        streamed = events(httpx2.post(f"{url}/v1/completions", json=ask, headers=headers))
        assert streamed[-1]["error"]["type"] == "server_error"
        counted = httpx2.get(f"{url}/metrics").text
    assert 'http_server_responses_total{path="/v1/completions",status="500"} 1.0' in counted
    told = [record.getMessage() for record in caplog.records if record.name.startswith("lavra.server")]
    assert told == ["request whole failed", "request streamed failed"]


def test_tokens_there_and_back(http):
    found = http.post("/tokenize", json={"model": "writer", "text": "maçãs 🍎"}).json()
    assert found["count"] == len(found["tokens"]) == len(found["pieces"])
    back = http.post("/detokenize", json={"model": "writer", "tokens": found["tokens"]}).json()
    assert back["text"] == "maçãs 🍎"
    assert http.post("/detokenize", json={"model": "writer", "tokens": [999999]}).status_code == 400


def test_a_template_shows_what_a_chat_would_read(http):
    body = {"model": "talker", "messages": [{"role": "user", "content": [{"type": "text", "text": "She loved"}]}]}
    found = http.post("/apply-template", json=body).json()
    assert found["prompt"].endswith("### Assistant:\n")
    answer = http.post("/v1/chat/completions", json={**body, "max_tokens": 1}).json()
    assert answer["usage"]["prompt_tokens"] == len(found["tokens"])
    picture = [{"type": "image_url", "image_url": {"url": "x"}}]
    refused = http.post("/apply-template", json={**body, "messages": [{"role": "user", "content": picture}]})
    assert "image_url" in refused.json()["error"]["message"]


def test_scores(http):
    found = http.post("/score", json={"model": "writer", "text": "She loved to play"}).json()
    assert len(found["tokens"]) == len(found["logprobs"])
    assert found["num_bytes"] == len("She loved to play")


def test_a_repeated_request_is_answered_from_the_cache_and_says_so():
    model = served("writer")
    other = {**ASK, "prompt": "She"}
    with running([model], api_keys=("one", "two")) as url:

        def ask(body, key="one"):
            return httpx2.post(f"{url}/v1/completions", json=body, headers={"authorization": f"Bearer {key}"}).json()

        first, written = ask(ASK), model.engine.stats().written_tokens
        again = ask(ASK)
        assert model.engine.stats().written_tokens == written
        assert (first["usage"]["response_cached"], again["usage"]["response_cached"]) == (False, True)
        assert first["choices"] == again["choices"]
        streamed = httpx2.post(
            f"{url}/v1/completions", json={**ASK, "stream": True}, headers={"authorization": "Bearer one"}
        )
        assert "".join(event["choices"][0]["text"] for event in events(streamed)) == first["choices"][0]["text"]
        assert model.engine.stats().written_tokens == written
        for body, key in (
            (ASK, "two"),  # another tenant
            (other, "one"),
            ({**ASK, "max_tokens": 5}, "one"),
            ({**ASK, "stop": "zz"}, "one"),
            ({**ASK, "logit_bias": {"5": 1}}, "one"),
            ({**ASK, "temperature": 1.0}, "one"),  # no seed: never the same by right
            ({**ASK, "temperature": 1.0}, "one"),
            ({**ASK, "temperature": 1.0, "seed": 4}, "one"),
        ):
            assert not ask(body, key)["usage"]["response_cached"]
        assert ask({**ASK, "temperature": 1.0, "seed": 4})["usage"]["response_cached"]
    with running([served("writer")], response_cache=0) as url:
        answers = [httpx2.post(f"{url}/v1/completions", json=ASK).json() for _ in range(2)]
        assert not answers[1]["usage"]["response_cached"]


def test_metrics_count(http):
    def value(name):
        lines = [line for line in http.get("/metrics").text.splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    ask = {**ASK, "temperature": 1.0, "min_tokens": 4}  # never the same twice, and no early end
    before = value('gen_ai_client_token_usage_tokens_total{model="writer",type="output"}')
    http.post("/v1/completions", json=ask)
    http.post("/v1/completions", json={**ask, "stream": True})
    assert value('gen_ai_client_token_usage_tokens_total{model="writer",type="output"}') == before + 8
    assert value('gen_ai_server_time_to_first_token_seconds_count{model="writer"}') > 0
    assert value('lavra_engine_num_blocks{model="writer"}') == 128
    assert value('http_server_responses_total{path="/v1/completions",status="200"}') > 0


def test_every_completion_taken_on_ends_and_says_how(http):
    def values(name):
        lines = [line for line in http.get("/metrics").text.splitlines() if line.startswith(name)]
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    def grown(name, before):
        return {key: value - before.get(key, 0) for key, value in values(name).items() if value != before.get(key, 0)}

    accepted, ended = 'lavra_samples_accepted_total{model="long"}', 'lavra_samples_ended_total{model="long"'
    before = values(accepted), values(ended)
    ask = {"model": "long", "prompt": "Once", "temperature": 1.0}
    assert http.post("/v1/completions", json={**ask, "max_tokens": 3, "n": 2}).status_code == 200
    endless = {**ask, "max_tokens": 250, "min_tokens": 250, "stream": True}
    with http.stream("POST", "/v1/completions", json=endless) as response:
        next(response.iter_raw())
    deadline = time.monotonic() + 10
    while sum(grown(ended, before[1]).values()) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert grown(accepted, before[0]) == {accepted: 3}
    reasons = grown(ended, before[1])
    assert reasons[f'{ended},reason="cancelled"}}'] == 1
    assert sum(reasons.values()) == 3


def test_leaving_is_nothing_to_complain_of(http, caplog):
    ended = 'lavra_samples_ended_total{model="long",reason="cancelled"}'

    def left():
        found = [line for line in http.get("/metrics").text.splitlines() if line.startswith(ended)]
        return float(found[0].rsplit(" ", 1)[1]) if found else 0.0

    before = left()
    body = {"model": "long", "prompt": "Once", "max_tokens": 250, "min_tokens": 250, "n": 4, "temperature": 1.0}
    with pytest.raises(httpx2.ReadTimeout):
        http.post("/v1/completions", json=body, timeout=0.1)
    deadline = time.monotonic() + 10
    while left() < before + 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left() == before + 4
    http.get("/health")
    gc.collect()  # a coroutine that was never awaited warns when it is collected
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_the_page_needs_nothing_from_elsewhere(http):
    page = http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    own = [path for path in CHAT_FILES if path != "/" and "/vendor/" not in path]
    assert own
    for path in ["/", *own]:
        text = http.get(path).text
        for outside in ("https://", "//cdn", 'src="http', 'href="http', "url(http"):
            assert outside not in text, path


def test_names_must_differ():
    model = served("writer")
    with pytest.raises(InputError, match="two models are called 'writer'"):
        ModelTable([model, served("writer")])
    with pytest.raises(InputError, match="no model"):
        ModelTable([])


def test_an_address_that_is_taken_is_said():
    with open_socket(ServeConfig(port=0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"{port} cannot be listened on"):
            open_socket(ServeConfig(port=port))


def test_settings_out_of_range():
    with pytest.raises(ConfigError, match="port is 70000"):
        ServeConfig(port=70000)
    with pytest.raises(ConfigError, match="API key is empty"):
        ServeConfig(api_keys=(" ",))
