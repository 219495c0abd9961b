"""Requests nobody would write, made by schemathesis from the server's own description, with its checks.

Two checks cannot hold and are left out.  A valid request may be refused (`positive_data_acceptance`): its prompt does
not fit, or its model cannot do that.  And `1` or `"true"` is taken for `true`, `"3"` for 3 (`negative_data_rejection`,
of kinds alone), as clients that fill in forms send them.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from lavra.cli.serve import ServeSettings, open_model
from lavra.server import ModelTable, ServeConfig, build_app
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.server.conftest import running, served
from tests.server.search.toy_index import toy_index
from tests.tasks.heads import head_folder

HEADS = {"classify": "classify", "tag": "ner", "answer": "qa", "choose": "choice", "rerank": "rerank"}
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")


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

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def send(case):
            if isinstance(case.body, dict) and HEADS.get(case.path.removeprefix("/v1/")):
                take_name(case.body)
            if isinstance(case.body, dict):  # what is asked for may be long; only its form is under test
                for name in LENGTHS:
                    if isinstance(case.body.get(name), int) and case.body[name] > 8:
                        case.body[name] = 8
            response = case.call()
            seen.add(response.status_code)
            check(case, response)

        try:
            send()
        except Unsatisfiable:  # nothing can be wrong with a request that has no body
            assert not list(operation.body)
    return seen


def take_name(body):
    """Ask the one model there is; a name that is no text stays, and is refused."""
    if isinstance(body.get("model"), str):
        del body["model"]


def check(case, response):
    """All checks, but for those that cannot hold."""
    try:
        case.validate_response(response)
    except BaseExceptionGroup as failures:
        left = [one for one in failures.exceptions if not is_meant(one)]
        if left:
            raise ExceptionGroup("failures", left) from failures


def is_meant(failure):
    kind = type(failure).__name__
    return kind == "RejectedPositiveData" or (kind == "AcceptedNegativeData" and "Incorrect type" in str(failure))
