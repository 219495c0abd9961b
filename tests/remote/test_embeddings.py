"""Remote embeddings: the port's suite against lavra's server; a double gets the same requests as the real services."""

import json
import logging
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import numpy as np
import pytest

from lavra.base.errors import ConfigError, InputError, OverloadedError
from lavra.remote.config import RemoteConfig
from lavra.remote.connection import RemoteError
from lavra.remote.embeddings import EmbeddingApi, EmbeddingPurpose, RemoteEmbedder, RemoteEmbeddingConfig
from lavra.testing.embedder import EmbedderConformance
from tests.server.conftest import running, served

KEY = "sk-123"


def vector(text, width=8):
    """The double's vector of a text."""
    return np.random.default_rng([ord(one) for one in text] or [0]).standard_normal(width).round(6).tolist()


def openai_answer(body):
    data = [{"object": "embedding", "index": at, "embedding": vector(text)} for at, text in enumerate(body["input"])]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return {"object": "list", "model": body["model"], "data": data[::-1], "usage": usage}  # in any order


def cohere_answer(body):
    rows = [vector(f"{body['input_type']}: {text}") for text in body["texts"]]
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 1}}
    return {
        "id": "1",
        "embeddings": {"float": rows},
        "texts": body["texts"],
        "response_type": "embeddings_by_type",
        "meta": meta,
    }


ANSWERS = {"/v1/embeddings": openai_answer, "/v2/embed": cohere_answer}


@contextmanager
def double():
    """Address of a server that embeds like OpenAI and Cohere, and its requests as (path, headers, body)."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked.append((self.path, headers, body))
            content = json.dumps(ANSWERS[self.path](body)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("EMBEDDING_KEY", KEY)


def opened(url="http://127.0.0.1:9/v1", *, transport=None, model="m", server=None, **settings):
    config = RemoteConfig(url=url, model=model, **{"max_retries": 1, **(server or {})})
    return RemoteEmbedder(
        RemoteEmbeddingConfig(server=config, **settings), sleep=lambda seconds: None, transport=transport
    )


def test_openai_is_asked_as_its_client_asks(key):
    openai = pytest.importorskip("openai")
    texts = ["a cat", "um cão", "東京"]
    with double() as (url, asked):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY)
        theirs = client.embeddings.create(model="m", input=texts, dimensions=8, encoding_format="float")
        with opened(f"{url}/v1", server={"key_variable": "EMBEDDING_KEY"}, dimensions=8) as embedder:
            ours = embedder.embed(texts)
    (path, headers, body), (our_path, our_headers, our_body) = asked
    assert (our_path, our_body) == (path, body)
    assert our_headers["authorization"] == headers["authorization"] == f"Bearer {KEY}"
    expected = [one.embedding for one in sorted(theirs.data, key=lambda one: one.index)]
    np.testing.assert_array_equal(ours, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("purpose", list(EmbeddingPurpose))
@pytest.mark.parametrize("truncate", [False, True])
def test_cohere_is_asked_as_its_client_asks(key, purpose, truncate):
    cohere = pytest.importorskip("cohere")
    texts = ["a cat", "um cão", "東京"]
    with double() as (url, asked):
        client = cohere.ClientV2(api_key=KEY, base_url=url)
        theirs = client.embed(
            model="m",
            texts=texts,
            input_type=purpose.value,
            embedding_types=["float"],
            truncate="END" if truncate else "NONE",
        )
        server = {"key_variable": "EMBEDDING_KEY"}
        settings = {"api": EmbeddingApi.COHERE, "purpose": purpose, "truncate": truncate}
        with opened(f"{url}/v2", server=server, **settings) as embedder:
            ours = embedder.embed(texts)
    (path, headers, body), (our_path, our_headers, our_body) = asked
    assert our_path == path
    assert our_body == {name: value for name, value in body.items() if value is not None}
    assert our_headers["authorization"] == headers["authorization"] == f"Bearer {KEY}"
    np.testing.assert_array_equal(ours, np.array(theirs.embeddings.float_, dtype=np.float32))


@pytest.fixture(scope="module")
def lavra_url():
    with running([served("encoder", "bert")]) as url:
        yield f"{url}/v1"


class TestConformance(EmbedderConformance):
    """Against `lavra serve`'s own endpoint."""

    @pytest.fixture(autouse=True)
    def _embedder(self, lavra_url):
        with opened(lavra_url, model="encoder") as self.embedder:
            yield

    def make_embedder(self):
        return self.embedder


class TestCohereConformance(EmbedderConformance):
    """Against a double that speaks Cohere's protocol."""

    @pytest.fixture(autouse=True)
    def _embedder(self):
        with double() as (url, _), opened(f"{url}/v2", api=EmbeddingApi.COHERE) as self.embedder:
            yield

    def make_embedder(self):
        return self.embedder


def mock(*given):
    """A transport that gives these answers, one for each request, the last one repeatedly; and the requests."""
    left, asked = list(given), []

    def answer(request):
        asked.append(json.loads(request.content))
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, int):
            return httpx2.Response(one, json={"error": {"message": f"this is {one}"}})
        return httpx2.Response(200, text=json.dumps(one(asked[-1]) if callable(one) else one))

    return httpx2.MockTransport(answer), asked


def test_many_texts_go_out_in_requests_of_limited_size():
    transport, asked = mock(openai_answer)
    texts = [f"text {number}" for number in range(23)] + ["x" * 60, "y"]
    embedder = opened(transport=transport, batch_size=4, batch_characters=50)
    np.testing.assert_allclose(embedder.embed(texts), np.array([vector(text) for text in texts]), rtol=1e-6)
    sizes = [len(body["input"]) for body in asked]
    assert max(sizes) <= 4
    assert sum(sizes) == 25
    assert all(sum(map(len, body["input"])) <= 50 or len(body["input"]) == 1 for body in asked)


def test_a_busy_server_is_asked_again():
    transport, asked = mock(429, openai_answer)
    assert opened(transport=transport).embed(["a"]).shape == (1, 8)
    assert len(asked) == 2


def told(data):
    return {"data": [{"index": at, "embedding": one} for at, one in enumerate(data)]}


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (429, OverloadedError, "this is 429"),
        (500, RemoteError, "this is 500"),
        (400, InputError, "this is 400"),
        (401, InputError, "key_variable"),
        (told([[1.0]]), RemoteError, "1 for 2 texts"),
        (told([[1.0], [1.0, 2.0]]), RemoteError, "of one length"),
        (told([[1.0], [float("inf")]]), RemoteError, "finite"),
        (told([["a"], ["b"]]), RemoteError, "lists of numbers"),
        (told([[], []]), RemoteError, "finite numbers"),
        (told([1.0, 2.0]), RemoteError, "finite numbers"),
        ({"data": [{"embedding": [1.0]}] * 2}, RemoteError, "index"),
        ({"data": [1, 2]}, RemoteError, "index"),
        ({}, RemoteError, "0 for 2 texts"),
    ],
)
def test_wrong_answers_of_a_server_are_reported(given, kind, message):
    with pytest.raises(kind, match=message):
        opened(transport=mock(given)[0]).embed(["a", "b"])


@pytest.mark.parametrize("given", [{}, {"embeddings": [[1.0]]}, {"embeddings": {"int8": [[1]]}}])
def test_another_version_of_cohere_is_said(given):
    with pytest.raises(RemoteError, match="version 2"):
        opened(transport=mock(given)[0], api=EmbeddingApi.COHERE).embed(["a"])


def test_a_width_that_changes_is_an_error():
    transport, _ = mock(openai_answer, told([[1.0, 2.0]]))
    embedder = opened(transport=transport)
    embedder.embed(["a"])
    with pytest.raises(RemoteError, match="2 numbers, not 8"):
        embedder.embed(["b"])
    with pytest.raises(RemoteError, match="8 numbers, not 4"):
        opened(transport=mock(openai_answer)[0], dimensions=4).embed(["a"])


def test_warnings_of_the_server_are_logged(caplog):
    transport, _ = mock(lambda body: {**openai_answer(body), "warnings": ["a text was cut"]})
    with caplog.at_level(logging.WARNING):
        opened(transport=transport).embed(["a"])
    assert "a text was cut" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "1 to 2048"),
        ({"batch_size": 97, "api": EmbeddingApi.COHERE}, "1 to 96"),
        ({"batch_characters": 0}, "batch_characters"),
        ({"dimensions": 0}, "dimensions"),
        ({"truncate": True}, "cuts nothing"),
        ({"model": ""}, "name the embedding model"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        opened(**settings)


def test_the_key_is_in_no_representation(key):
    embedder = opened(server={"key_variable": "EMBEDDING_KEY"})
    assert KEY not in repr(embedder.config)
