"""Keys, origins, types, methods and paths, over a real socket with an independent client."""

import asyncio
import gzip
import json
from urllib.request import Request, urlopen

import httpx2
import pytest

from lavra.server.app import build_app
from lavra.server.config import ServeConfig
from lavra.server.gate import Gate
from lavra.server.metrics import Metrics
from lavra.server.served import ModelTable
from tests.server.conftest import running, served

ASK = {"prompt": "Once upon a time", "max_tokens": 2, "temperature": 0}
ORIGIN = "http://app.example"


@pytest.fixture(scope="module")
def keyed():
    """A server with keys, for a page of another origin."""
    model = served("writer")
    settings = {"api_keys": ("one", "zwei-ä"), "cors_origins": (ORIGIN,)}
    with running([model], **settings, max_body_bytes=3000) as url, httpx2.Client(base_url=url) as client:
        yield client
    model.engine.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer one"},
        {"authorization": "bearer one"},
        {"authorization": "BEARER   one"},
        {"x-api-key": "one"},
        {"authorization": "Basic b25lOg==", "x-api-key": "one"},
        {"x-api-key": "zwei-ä".encode()},
    ],
)
def test_a_key_is_taken_however_clients_send_it(keyed, headers):
    assert keyed.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "one"}, {"authorization": "Bearer"}, {"authorization": "Bearer two"}, {"x-api-key": "on"}],
)
def test_without_a_key_the_answer_says_how_to_bring_one(keyed, headers):
    answer = keyed.get("/v1/models", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="lavra"')
    assert "x-api-key" in answer.json()["error"]["message"]


def test_one_key_is_one_tenant_however_it_is_sent(keyed):
    def cached(headers):
        return keyed.post("/v1/completions", json=ASK, headers=headers).json()["usage"]["response_cached"]

    found = [
        cached(one) for one in ({"authorization": "Bearer one"}, {"x-api-key": "one"}, {"authorization": "bearer one"})
    ]
    assert found == [False, True, True]


def test_a_page_of_an_allowed_origin_may_ask_first_without_a_key(keyed):
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
        "access-control-request-private-network": "true",
    }
    answer = keyed.options("/v1/chat/completions", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-os"
    assert (
        "access-control-allow-origin"
        not in keyed.options("/v1/models", headers={**asked, "origin": "http://evil"}).headers
    )


def test_a_page_of_an_allowed_origin_reads_every_refusal(keyed, monkeypatch):
    own = {"origin": ORIGIN, "x-api-key": "one"}

    def fail(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr("lavra.server.plain._describe", fail)
    answers = {
        401: keyed.get("/v1/models", headers={"origin": ORIGIN}),
        404: keyed.get("/nothing", headers=own),
        405: keyed.get("/v1/completions", headers=own),
        413: keyed.post("/v1/completions", content=b"{" * 4000, headers=own),
        415: keyed.post("/v1/completions", content=b"{}", headers=own),
        400: keyed.post("/v1/completions", json={}, headers=own),
        500: keyed.get("/v1/models", headers=own),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    other = keyed.get("/v1/models", headers={**own, "origin": "http://evil"})
    assert "access-control-allow-origin" not in other.headers


def test_the_error_for_a_body_without_a_type_names_one(http):
    for headers in ({}, {"content-type": "text/plain"}):
        answer = http.post("/v1/completions", content=json.dumps(ASK), headers=headers)
        assert answer.status_code == 415
        assert "Content-Type: application/json" in answer.json()["error"]["message"]
        assert answer.headers["accept"] == "application/json"


def test_a_packed_body_is_read_and_a_bomb_is_not(http):
    def post(content):
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        return http.post("/v1/completions", content=content, headers=headers)

    plain = http.post("/v1/completions", json=ASK).json()["choices"]
    assert post(gzip.compress(json.dumps(ASK).encode())).json()["choices"] == plain
    bomb = post(gzip.compress(b"[" * 20_000_000))
    assert (bomb.status_code, bomb.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "the body is not JSON: Expecting property name"),
        (b'{"prompt": "a', r"Unterminated string.* \(character 11\)"),
        (b'{"prompt": "\xff"}', "byte 12 of the body is not UTF-8"),
        (b'{"prompt": "a", "n": ' + b"1" * 5000 + b"}", "4300 digits"),
        (b'{"prompt": ' + b"[" * 900 + b"]" * 900 + b"}", "more than 128 lists and objects"),
        (b"", "the body is missing"),
    ],
)
def test_a_body_that_cannot_be_read_says_why(http, body, says):
    answer = http.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(answer.json()["error"]["message"])


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/metrics", "/openapi.json"])
def test_head_is_get_without_its_body(http, path):
    got = http.get(path)
    head = http.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    request = Request(f"{str(http.base_url).rstrip('/')}{path}", method="HEAD")
    with urlopen(request) as answer:
        assert answer.read() == b""


def test_the_error_for_a_wrong_method_names_the_right_ones(http):
    for method, path, allowed in (
        ("GET", "/v1/completions", "POST"),
        ("HEAD", "/v1/completions", "POST"),
        ("DELETE", "/v1/search", "GET, HEAD, POST"),
        ("PUT", "/v1/models/writer", "GET, HEAD"),
    ):
        answer = http.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert http.get("/v1/completions").json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/chat/completion", "did you mean /v1/chat/completions?"),
        ("/embeddings", "did you mean /v1/embeddings?"),
        ("/v1/v1/embeddings", "did you mean /v1/embeddings?"),
        ("/openai/v1/completions", "did you mean /v1/completions?"),
        ("/wp-login.php", "GET /openapi.json lists the paths that are"),
    ],
)
def test_an_unknown_path_names_the_nearest(http, path, says):
    answer = http.post(path, json=ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
    assert answer.json()["error"]["message"] == f"POST {path} is not served here; {says}"


def test_an_id_that_cannot_stand_in_a_log_is_replaced(http):
    for given, kept in (("mine-1", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("\u00e9", False)):
        found = http.get("/health", headers={"x-request-id": given.encode("latin-1")}).headers["x-request-id"]
        assert (found == given) == kept


def test_ollamas_bodies_are_json_as_curl_sends_them(http):
    form, ask = {"content-type": "application/x-www-form-urlencoded"}, {"model": "talker", "prompt": "a"}
    body = json.dumps({**ask, "stream": False, "options": {"num_predict": 1}})
    assert http.post("/api/generate", content=body, headers=form).json()["done"] is True
    refused = http.post("/api/generate", content=body, headers={**form, "origin": "http://evil"})
    assert refused.status_code == 415
    assert set(refused.json()) == {"error"}


def test_bodies_of_a_lenient_protocol_are_json_unless_a_page_of_another_origin_sends_them():
    """As `curl -d` sends them, for a protocol whose own server ignores the type."""
    model = served("writer")
    app = build_app(ModelTable([model]), ServeConfig())
    lenient = Gate(app, ServeConfig(), Metrics(), any_type=("/v1/comp",))
    form = {"content-type": "application/x-www-form-urlencoded"}

    async def ask(path, headers):
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(lenient), base_url="http://x") as client:
            return (await client.post(path, content=json.dumps(ASK), headers=headers)).status_code

    statuses = [
        asyncio.run(ask(path, headers))
        for path, headers in (
            ("/v1/completions", form),
            ("/v1/completions", {}),
            ("/v1/completions", {**form, "origin": "http://evil"}),
            ("/tokenize", form),
        )
    ]
    assert statuses == [200, 200, 415, 415]
    model.engine.close()
