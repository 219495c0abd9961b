"""Requests nobody would write, made by schemathesis from the server's own description, with its checks.

Most valid requests die at their messages or their model's name, so every other one is given those of a real request:
then its other fields reach the engine.  Responses that are kept are asked for by their ids.

Two checks cannot hold and are left out.  A valid request may be refused (`positive_data_acceptance`): its prompt does
not fit, or its model cannot do that.  And `1` or `"true"` is taken for `true`, `"3"` for 3 (`negative_data_rejection`,
of kinds alone), as clients that fill in forms send them.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from lavra.cli.serve import ServeSettings, open_model
from lavra.server import ModelTable, ServeConfig, build_app
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.server.conftest import running, served
from tests.server.search.toy_index import toy_index
from tests.tasks.heads import head_folder

HEADS = {"classify": "classify", "tag": "ner", "answer": "qa", "choose": "choice", "rerank": "rerank"}
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "n_predict")
MESSAGES = [{"role": "user", "content": "a"}]
# What a request must say to be served, by path.
SERVED = {
    "/v1/chat/completions": {"model": "talker", "messages": MESSAGES},
    "/v1/completions": {"model": "talker", "prompt": "a"},
    "/v1/responses": {"model": "talker", "input": "a", "previous_response_id": None, "background": None},
    "/v1/responses/input_tokens": {"model": "talker", "input": "a", "previous_response_id": None},
    "/v1/messages": {"model": "talker", "messages": MESSAGES, "system": None},
    "/v1/messages/count_tokens": {"model": "talker", "messages": MESSAGES, "system": None},
    "/api/chat": {"model": "talker", "messages": MESSAGES},
    "/api/generate": {"model": "talker", "prompt": "a", "images": None, "template": None, "context": None},
    "/api/embed": {"model": "embedder", "input": "a", "dimensions": None},
    "/api/embeddings": {"model": "embedder", "prompt": "a"},
    "/completion": {"model": "talker", "prompt": "a"},
}
# Fields that most models or values do not fit: absent where a request is to be served.
RARE = (
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "suffix",
    "response_format",
    "text",
    "format",
    "output_config",
)


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", HEADS)
def test_no_question_to_a_head_is_a_server_error(endpoint, tmp_path):
    model = open_model(f"head={head_folder(HEADS[endpoint], tmp_path)}", ServeSettings())
    app = build_app(ModelTable([model]), ServeConfig())
    (operation,) = [one for one in operations_of(app) if one.label == f"POST /v1/{endpoint}"]
    assert 200 in bombard(operation, 30)
    model.predictor.close()


@pytest.mark.slow
def test_no_request_is_a_server_error_or_answered_otherwise_than_described():
    writers = [served("talker", template=DEFAULT_CHAT_TEMPLATE), served("embedder", "bert")]
    models = ModelTable(writers, [toy_index()])
    operations = operations_of(build_app(models, ServeConfig(queue_seconds=5, host="0.0.0.0")))
    statuses = {operation.label: bombard(operation, 10) for operation in operations}
    assert 200 in statuses["POST /tokenize"]
    assert 400 in statuses["POST /v1/completions"]
    assert 400 in statuses["POST /v1/fill-mask"]
    assert {200, 400} & statuses["POST /v1/search"]
    for path in SERVED:
        assert statuses[f"POST {path}"] >= {200, 400}, path
    for label in ("GET /v1/responses/{identity}", "DELETE /v1/responses/{identity}"):
        assert statuses[label] >= {200, 404}, label
    engine = models.named("talker").engine
    models.close()
    assert engine.stats().free_blocks == engine.stats().num_blocks


@pytest.mark.slow
def test_the_edges_of_every_field_and_wrong_methods_and_keys_are_answered_as_described(tmp_path):
    """Over a socket, by the command: the values at each bound, methods that are not there, and keys that are wrong."""
    models = [served("talker", template=DEFAULT_CHAT_TEMPLATE), served("embedder", "bert")]
    with running(models, indexes=[toy_index()], api_keys=("key",), queue_seconds=5) as url:
        options = {
            "--checks": "all",
            "--exclude-checks": "positive_data_acceptance,negative_data_rejection",
            "--phases": "coverage",
            "--seed": "1",
            "--header": "Authorization: Bearer key",
        }
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"]
        given = [word for option in options.items() for word in option]
        done = subprocess.run(
            [*command, *given], capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False
        )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def operations_of(app):
    """The app's own description; the library takes seconds to import, which every other test would wait for."""
    schema = importlib.import_module("schemathesis").openapi.from_asgi("/openapi.json", app)
    return [one.ok() for one in schema.get_all_operations()]


def bombard(operation, count):
    """Send requests, valid ones and others; the statuses that came back."""
    seen = set()
    for mode in importlib.import_module("schemathesis").GenerationMode:
        try:
            bombard_with(operation, mode, count, seen)
        except Unsatisfiable:  # nothing can be wrong with a request that has no body
            assert not list(operation.body)
    return seen


def bombard_with(operation, mode, count, seen):
    """Send requests of one kind."""

    @given(case=operation.as_strategy(generation_mode=mode), served=st.booleans())
    @settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def send(case, served):
        if isinstance(case.body, dict) and HEADS.get(case.path.removeprefix("/v1/")):
            take_name(case.body)
        if served and mode.is_positive:
            make_served(case)
        shorten(case.body)
        response = case.call()
        seen.add(response.status_code)
        check(case, response)
        check_end(case.path, response)

    send()


def shorten(body):
    """What is asked for may be long; only its form is under test."""
    for fields in (body, body.get("options") if isinstance(body, dict) else None):
        for name in LENGTHS if isinstance(fields, dict) else ():
            if isinstance(fields.get(name), int) and fields[name] > 8:
                fields[name] = 8


def make_served(case):
    """Give a valid request what a served one says, and the id of a response that is kept."""
    if isinstance(case.body, dict) and case.path in SERVED:
        given = {name: value for name, value in case.body.items() if name not in RARE}
        case.body = {name: value for name, value in {**given, **SERVED[case.path]}.items() if value is not None}
    if "/v1/responses/{identity}" in case.path:
        made = case.operation.schema["/v1/responses"]["POST"].Case(
            method="POST", body={**SERVED["/v1/responses"], "max_output_tokens": 1}, media_type="application/json"
        )
        case.path_parameters["identity"] = made.call().json()["id"]


def check_end(path, response):
    """A stream has its protocol's last event."""
    kind, text = response.headers["content-type"][0], response.content.decode()
    if "x-ndjson" in kind:
        last = json.loads(text.splitlines()[-1])
        assert last.get("done") or "error" in last
    if "event-stream" not in kind:
        return
    if path in ("/v1/chat/completions", "/v1/completions"):
        assert text.endswith("data: [DONE]\n\n")
        return
    if not text and path == "/v1/responses/{identity}":  # asked for what comes behind the last event
        return
    last = json.loads(text[text.rindex("data: ") + 6 :])
    if path == "/completion":
        assert last.get("stop") or "error" in last
    else:
        ends = ("message_stop", "error") if path == "/v1/messages" else ("completed", "incomplete", "failed")
        assert last["type"].removeprefix("response.") in ends


def take_name(body):
    """Ask the one model there is; a name that is no text stays, and is refused."""
    if isinstance(body.get("model"), str):
        del body["model"]


def check(case, response):
    """All checks, but for those that cannot hold."""
    try:
        case.validate_response(response)
    except BaseExceptionGroup as failures:
        left = [one for one in failures.exceptions if not is_meant(one, case.body)]
        if left:
            raise ExceptionGroup("failures", left) from failures


def is_meant(failure, body):
    """Whether a failure is of the checks that cannot hold: a valid request refused, a kind read as another."""
    kind, told = type(failure).__name__, str(failure)
    if kind == "AcceptedNegativeData":
        return "Incorrect type" in told or is_form_value(told, body)
    return kind == "RejectedPositiveData"


def is_form_value(told, body):
    """Whether an optional value is true, false, 0, 1 or a text, which forms send for one another."""
    place = re.search(r"violates `anyOf` at (\S+)", told)
    value = body
    for name in re.findall(r"/properties/([^/]+)", place[1]) if place else ():
        value = value.get(name) if isinstance(value, dict) else None
    return isinstance(value, bool | str) or value in (0, 1)
