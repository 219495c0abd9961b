"""The description at `/openapi.json`, and answers checked against it by an independent validator."""

import json

import httpx2
import jsonschema_rs
import pytest

from lavra.server.description import complete
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.server.conftest import running, served

KEY = {"x-api-key": "key"}
MESSAGES = [{"role": "user", "content": "hello"}]
CHAT = {"messages": MESSAGES, "max_tokens": 2}


@pytest.fixture(scope="module")
def client():
    models = [served("talker", template=DEFAULT_CHAT_TEMPLATE), served("embedder", "bert")]
    with running(models, api_keys=("key",)) as url, httpx2.Client(base_url=url, headers=KEY) as client:
        yield client
    models[0].engine.close()


@pytest.fixture(scope="module")
def described(client):
    return client.get("/openapi.json").json()


def operations(described):
    return [
        (method, path, operation) for path, item in described["paths"].items() for method, operation in item.items()
    ]


def test_every_operation_names_its_refusals(described):
    for _, path, operation in operations(described):
        answers = operation["responses"]
        assert "422" not in answers, path
        assert {"200", "500"} <= set(answers), path
        assert ("401" in answers) == (operation.get("security") != []), path
        if "requestBody" in operation:
            assert {"400", "404", "408", "413", "415", "429"} <= set(answers), path
    assert described["security"] == [{"bearer": []}, {"x-api-key": []}]
    assert set(described["components"]["securitySchemes"]) == {"bearer", "x-api-key"}
    written = json.dumps(described)
    assert "HTTPValidationError" not in written
    for name in {part.split('"')[0] for part in written.split("#/components/schemas/")[1:]}:
        assert name in described["components"]["schemas"]


def test_a_server_without_keys_describes_none():
    bare = {"paths": {"/health": {"get": {"responses": {}}}}}
    complete(bare, (), keyed=False)
    assert set(bare["paths"]["/health"]["get"]["responses"]) == {"500"}
    assert "security" not in bare


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("post", "/v1/chat/completions", CHAT, 200),
        ("post", "/v1/chat/completions", {**CHAT, "stream": True}, 200),
        ("post", "/v1/chat/completions", {**CHAT, "logprobs": True}, 200),
        ("post", "/v1/chat/completions", {}, 400),
        ("post", "/v1/completions", {"prompt": "a", "max_tokens": 1, "logprobs": 1}, 200),
        ("post", "/v1/completions", {"model": "nobody", "prompt": "a"}, 404),
        ("post", "/v1/embeddings", {"model": "embedder", "input": ["a"]}, 200),
        ("post", "/v1/embeddings", {"model": "embedder", "input": "a", "encoding_format": "base64"}, 200),
        ("post", "/v1/fill-mask", {"model": "embedder", "input": "a [MASK]"}, 200),
        ("post", "/v1/responses", {"input": "hello", "max_output_tokens": 2}, 200),
        ("post", "/v1/messages", CHAT, 200),
        ("post", "/v1/messages", {**CHAT, "stream": True}, 200),
        ("post", "/v1/messages", {}, 400),
        ("post", "/v1/messages/count_tokens", {"messages": MESSAGES}, 200),
        ("post", "/api/chat", {"messages": MESSAGES, "options": {"num_predict": 2}}, 200),
        ("post", "/api/chat", {"messages": MESSAGES, "options": {"num_predict": 2}, "stream": False}, 200),
        ("post", "/api/chat", {"messages": 3}, 400),
        ("get", "/api/tags", None, 200),
        ("post", "/tokenize", {"text": "a"}, 200),
        ("post", "/detokenize", {"tokens": [1]}, 200),
        ("post", "/apply-template", {"messages": MESSAGES}, 200),
        ("post", "/score", {"text": "a b"}, 200),
        ("get", "/v1/models", None, 200),
        ("get", "/health", None, 200),
        ("get", "/ready", None, 200),
        ("get", "/metrics", None, 200),
    ],
)
def test_answers_are_as_described(client, described, method, path, body, status):
    answer = client.request(method.upper(), path, json=body)
    assert answer.status_code == status, answer.text
    told = described["paths"][path][method]["responses"][str(status)]["content"]
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in told
    if kind == "application/json":
        schema = {**told[kind]["schema"], "components": described["components"]}
        jsonschema_rs.validate(schema, answer.json())


def test_a_refusal_at_the_gate_is_in_its_protocols_shape(client, described):
    for path in ("/v1/messages", "/api/chat", "/v1/chat/completions"):
        answer = httpx2.post(f"{client.base_url}".rstrip("/") + path, json=CHAT)
        assert answer.status_code == 401
        told = described["paths"][path]["post"]["responses"]["401"]["content"]["application/json"]["schema"]
        jsonschema_rs.validate({**told, "components": described["components"]}, answer.json())
