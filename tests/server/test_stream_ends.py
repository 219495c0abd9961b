"""A stream whose engine fails in the middle ends as each protocol requires, and the log has the reason."""

import json
import logging

import httpx2
import pytest

from tests.server.dictation import dictating

ASKED = [{"role": "user", "content": "a"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]
CHAT = {"messages": ASKED, "max_tokens": 40}
REQUESTS = {
    "chat": ("/v1/chat/completions", CHAT),
    "choices": ("/v1/chat/completions", {**CHAT, "n": 2, "tools": TOOLS}),
    "completions": ("/v1/completions", {"prompt": ["a", "b"], "max_tokens": 40}),
    "messages": ("/v1/messages", {"model": "long", "messages": ASKED, "max_tokens": 40}),
    "ollama": ("/api/chat", {"model": "long", "messages": ASKED, "tools": TOOLS}),
    "responses": ("/v1/responses", {"input": "a", "max_output_tokens": 40}),
}


class BrokenRunnerError(Exception):
    """An exception that lavra does not know."""


@pytest.fixture(scope="module")
def dictated():
    with dictating() as (client, runner):
        yield runner, str(client.base_url).removesuffix("/v1/")


def last_of(text):
    """Type and data of the last event."""
    if text.startswith("{"):
        return json.loads(text.splitlines()[-1])
    *_, last = text.removesuffix("data: [DONE]\n\n").strip().split("\n\n")
    return json.loads(last[last.index("data: ") + 6 :])


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_stream_that_fails_has_its_last_event(dictated, kind, monkeypatch, caplog):
    runner, url = dictated
    runner.say("b c d e f g h i j k l m n")
    forward, passes = runner.forward, []

    def fail(batch):
        passes.append(batch)
        if len(passes) == 6:
            raise BrokenRunnerError("the runner broke")
        return forward(batch)

    monkeypatch.setattr(runner, "forward", fail)
    path, body = REQUESTS[kind]
    with caplog.at_level(logging.ERROR):
        answer = httpx2.post(
            f"{url}{path}",
            json={**body, "stream": True, "temperature": 0},
            headers={"x-request-id": "seen"},
            timeout=30,
        )
    assert answer.status_code == 200
    last = last_of(answer.text)
    if kind == "messages":
        assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    elif kind == "responses":
        assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "server_error")
    elif kind == "ollama":
        assert set(last) == {"error"}
    else:
        assert answer.text.endswith("data: [DONE]\n\n")
        assert last["error"]["type"] == "server_error"
    assert answer.text.count("the runner broke") == 0  # a fault of ours is told to the log alone
    named = "seen" if kind != "responses" else last["response"]["id"]  # it outlives the request
    assert f"{named} failed" in caplog.text
    assert "BrokenRunnerError: the runner broke" in caplog.text
    assert httpx2.post(f"{url}{path}", json={**body, "temperature": 0}, timeout=30).status_code == 200  # it goes on
