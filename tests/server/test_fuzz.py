"""Requests nobody would write, made by schemathesis from the server's own description: never a 500, never a hang."""

from __future__ import annotations

import importlib

import pytest
from hypothesis import HealthCheck, given, settings

from lavra.cli.serve import ServeSettings, open_model
from lavra.server import ModelTable, ServeConfig, build_app
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.server.conftest import served
from tests.server.search.toy_index import toy_index
from tests.tasks.heads import head_folder

OPERATIONS = {
    "GET /", "GET /health", "GET /metrics", "GET /ready", "GET /v1/models", "GET /v1/models/{name}",
    "POST /apply-template", "POST /detokenize", "POST /score", "POST /tokenize", "POST /v1/chat/completions",
    "POST /v1/responses", "GET /v1/responses/{identity}", "DELETE /v1/responses/{identity}",
    "POST /v1/responses/{identity}/cancel", "GET /v1/responses/{identity}/input_items",
    "POST /v1/completions", "POST /v1/embeddings", "POST /v1/fill-mask",
    "POST /v1/search", "GET /v1/search", "GET /v1/search/documents", "GET /v1/search/documents/{identity}",
    "POST /v1/answer", "POST /v1/choose", "POST /v1/classify", "POST /v1/rerank", "POST /v1/tag",
}  # fmt: skip


HEADS = {"classify": "classify", "tag": "ner", "answer": "qa", "choose": "choice", "rerank": "rerank"}


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", HEADS)
def test_no_question_to_a_head_is_a_server_error(endpoint, tmp_path):
    model = open_model(f"head={head_folder(HEADS[endpoint], tmp_path)}", ServeSettings())
    app = build_app(ModelTable([model]), ServeConfig())
    schema = described("/openapi.json", app)
    operations = [one.ok() for one in schema.get_all_operations()]
    (operation,) = [one for one in operations if one.label == f"POST /v1/{endpoint}"]
    assert 200 in bombard(operation)
    model.predictor.close()


@pytest.mark.slow
def test_no_request_is_a_server_error():
    writers = [served("talker", template=DEFAULT_CHAT_TEMPLATE), served("embedder", "bert")]
    models = ModelTable(writers, [toy_index()])
    schema = described("/openapi.json", build_app(models, ServeConfig(queue_seconds=5, host="0.0.0.0")))
    operations = [one.ok() for one in schema.get_all_operations()]
    assert {operation.label for operation in operations} == OPERATIONS
    statuses = {operation.label: bombard(operation) for operation in operations}
    assert 200 in statuses["POST /tokenize"]
    assert 400 in statuses["POST /v1/completions"]
    assert 400 in statuses["POST /v1/fill-mask"]
    assert {200, 400} & statuses["POST /v1/search"]
    engine = models.named("talker").engine
    models.close()
    assert engine.stats().free_blocks == engine.stats().num_blocks


def described(path, app):
    """The app's own description; the library takes seconds to import, which every other test would wait for."""
    return importlib.import_module("schemathesis").openapi.from_asgi(path, app)


def bombard(operation):
    """Send a hundred requests; the statuses that came back."""
    seen = set()

    @given(case=operation.as_strategy())
    @settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def send(case):
        if isinstance(case.body, dict) and HEADS.get(case.path.removeprefix("/v1/")):
            case.body.pop("model", None)  # the one there is
        if isinstance(case.body, dict):  # what is asked for may be long; only its form is under test
            for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
                if isinstance(case.body.get(name), int) and case.body[name] > 8:
                    case.body[name] = 8
        response = case.call()
        seen.add(response.status_code)
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}

    send()
    return seen
