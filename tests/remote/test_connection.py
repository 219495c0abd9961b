"""Retries, errors and keys, against a server made here."""

import json
import logging
import threading
from collections.abc import Iterator

import httpx2
import pytest

from lavra.base.errors import ConfigError, InputError, OverloadedError
from lavra.base.types import FinishReason, GenerateRequest, ScoreRequest
from lavra.remote.config import RemoteConfig
from lavra.remote.connection import RemoteError
from lavra.remote.model import RemoteModel

URL = "http://127.0.0.1:9/v1"
GOOD = {"choices": [{"text": "yes", "finish_reason": "stop"}], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}
ASK = GenerateRequest(prompt="a", logprobs=False)


def answers(*given):
    """A transport with these answers, one for each request (status, body, exception or response); and the requests."""
    left, asked = list(given), []

    def answer(request):
        asked.append(request)
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        if isinstance(one, int):
            return httpx2.Response(one, json={"error": {"message": f"this is {one}"}})
        return one if isinstance(one, httpx2.Response) else httpx2.Response(200, json=one)

    return httpx2.MockTransport(answer), asked


def opened(*given, slept=None, **settings):
    transport, asked = answers(*given)
    sleep = (slept if slept is not None else []).append
    return RemoteModel(RemoteConfig(**{"url": URL, **settings}), sleep=sleep, transport=transport), asked


def test_passing_errors_are_retried_with_growing_pauses():
    slept = []
    given = (httpx2.ConnectError("no"), 503, httpx2.ReadTimeout("slow"), 500, GOOD)
    model, asked = opened(*given, slept=slept)
    assert model.generate([ASK])[0][0].text == "yes"
    assert len(asked) == 5
    assert all(low <= pause <= 2 * low for pause, low in zip(slept, (0.25, 0.5, 1.0, 2.0), strict=True))


def test_a_server_says_how_long_to_wait():
    slept = []
    busy = httpx2.Response(429, json={"error": {"message": "slowly"}}, headers={"Retry-After": "7"})
    model, _ = opened(busy, GOOD, slept=slept)
    model.generate([ASK])
    assert slept == [7.0]


@pytest.mark.parametrize(
    ("given", "kind", "message", "tries"),
    [
        (429, OverloadedError, "this is 429", 3),
        (502, RemoteError, "this is 502", 3),
        (httpx2.ConnectError("no"), RemoteError, "not reached in 3 tries .ConnectError", 3),
        (400, InputError, "this is 400", 1),
        (401, InputError, "key_variable", 1),
        (404, InputError, "/v1", 1),
        (httpx2.Response(302, headers={"location": "http://x"}), InputError, "redirects to another address", 1),
        (httpx2.Response(200, text="hello"), RemoteError, "JSON object", 1),
        ({"choices": []}, RemoteError, "0 choices for n=1", 1),
        ({}, RemoteError, "no choices for n=1", 1),
    ],
)
def test_lasting_errors_are_reported(given, kind, message, tries):
    model, asked = opened(given, max_retries=2)
    with pytest.raises(kind, match=message):
        model.generate([ASK])
    assert len(asked) == tries


def test_one_refusal_ends_the_others():
    model, asked = opened(400, concurrency=1)
    with pytest.raises(InputError):
        model.generate([ASK] * 50)
    assert len(asked) < 50


def test_requests_go_side_by_side_but_not_more_than_allowed():
    now, most, lock, gate = [0], [0], threading.Lock(), threading.Barrier(3, timeout=10)

    def answer(request):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        gate.wait()
        with lock:
            now[0] -= 1
        return httpx2.Response(200, json={**GOOD, "choices": [{"text": json.loads(request.content)["prompt"]}]})

    model = RemoteModel(RemoteConfig(url=URL, concurrency=3), transport=httpx2.MockTransport(answer))
    found = model.generate([GenerateRequest(prompt=str(number), logprobs=False) for number in range(9)])
    assert [one.text for (one,) in found] == [str(number) for number in range(9)]
    assert most == [3]


SECRET = "sk-secret-123"


def test_the_key_is_sent_and_never_shown(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SOME_KEY", SECRET)
    file = tmp_path / "key"
    file.write_text(SECRET + "\n")
    caplog.set_level(logging.DEBUG)
    told = httpx2.Response(401, json={"error": {"message": f"wrong key {SECRET}"}})
    for settings in ({"key_variable": "SOME_KEY"}, {"key_file": file}):
        model, asked = opened(GOOD, told, **settings)
        model.generate([ASK])
        assert asked[0].headers["authorization"] == f"Bearer {SECRET}"
        with pytest.raises(InputError) as error:
            model.generate([ASK])
        assert SECRET not in str(error.value)
        assert SECRET not in f"{model.config!r} {model!r} {vars(model)!r}"
    assert SECRET not in caplog.text
    model, asked = opened(GOOD)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    model.generate([ASK])
    assert "authorization" not in asked[0].headers


def test_a_key_without_encryption_is_warned_of(monkeypatch, caplog):
    monkeypatch.setenv("SOME_KEY", SECRET)
    opened(GOOD, key_variable="SOME_KEY")
    opened(GOOD, url="https://example.org/v1", key_variable="SOME_KEY")
    assert not caplog.records
    opened(GOOD, url="http://example.org/v1", key_variable="SOME_KEY")
    assert "unencrypted" in caplog.text


def test_a_key_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="NO_SUCH_KEY is empty or not set"):
        opened(GOOD, key_variable="NO_SUCH_KEY")
    with pytest.raises(InputError, match="not a file"):
        opened(GOOD, key_file=tmp_path / "nothing")
    (tmp_path / "two").write_text("a b")
    with pytest.raises(InputError, match="not one word"):
        opened(GOOD, key_file=tmp_path / "two")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "localhost:8000"}, "http://"),
        ({"url": "http://me:secret@host/v1"}, "would be shown"),
        ({"url": "http://host/v1?key=1"}, "would be shown"),
        ({"endpoint": "chats"}, "did you mean 'chat'"),
        ({"system": "Be"}, "only a chat"),
        ({"key_variable": "A", "key_file": "b"}, "name one place"),
        ({"timeout": 0}, "timeout is 0"),
        ({"max_retries": -1}, "max_retries is -1"),
        ({"concurrency": 0}, "concurrency is 0"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message) as error:
        RemoteConfig(**{"url": URL, **settings})
    assert "secret" not in str(error.value)


def test_fields_absent_from_a_servers_answer_are_a_warning():
    ((found,),) = opened({"choices": [{"text": "x", "finish_reason": "content_filter"}]})[0].generate(
        [GenerateRequest(prompt="a")]
    )
    told = " ".join(found.warnings)
    assert found.finish_reason is FinishReason.CANCELLED
    for part in ("no token ids", "no log-probabilities", "'content_filter'", "how many tokens"):
        assert part in told
    message = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [{}]}
    ((found,),) = opened({**GOOD, "choices": [{"message": message, "finish_reason": "stop"}]}, endpoint="chat")[
        0
    ].generate([ASK])
    assert found.text == ""
    assert "reasoning_content are left out" in " ".join(found.warnings)
    with pytest.raises(InputError, match="echo with logprobs"):
        opened(GOOD)[0].score([ScoreRequest(text="a")])


class Broken(httpx2.SyncByteStream):
    """Sends some bytes and then fails."""

    def __init__(self, *parts: bytes, error: Exception | None = None) -> None:
        self.parts, self.error = parts, error

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts
        if self.error is not None:
            raise self.error


def event(**data):
    return b"data: " + json.dumps(data).encode() + b"\n\n"


PIECE = event(choices=[{"text": "ye"}])


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ((PIECE,), httpx2.ReadError("gone"), "broke off .ReadError"),
        ((PIECE, event(error={"message": "out of memory"})), None, "out of memory"),
        ((PIECE, b"data: [DONE]\n\n"), None, "without a reason"),
        ((b"data: {\n\n",), None, "not JSON"),
    ],
)
def test_a_stream_that_breaks_off_is_an_error(parts, error, message):
    model, asked = opened(httpx2.Response(200, stream=Broken(*parts, error=error)))
    with pytest.raises(RemoteError, match=message):
        list(model.submit(ASK))
    assert len(asked) == 1  # what has begun is not asked again


def test_a_stream_in_odd_pieces_is_whole():
    """Comments, empty lines, text cut inside a character, and usage in a separate event."""
    content = b": hello\n\n" + event(choices=[{"text": "é"}]) + event(choices=[{"text": "s", "finish_reason": "stop"}])
    content += event(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2}) + b"data: [DONE]\n\n"
    parts = [content[at : at + 7] for at in range(0, len(content), 7)]
    model, _ = opened(503, httpx2.Response(200, stream=Broken(*parts)))
    deltas = list(model.submit(ASK))
    assert [delta.text for delta in deltas] == ["é", "s", ""]
    last = deltas[-1].completion
    assert (last.text, last.finish_reason) == ("és", FinishReason.STOP)
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (3, 2)
