"""Spans of model requests, as OpenTelemetry's own exporter receives them."""

import json
import socket
import sys
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from lavra.base.errors import ConfigError, MissingDependencyError
from lavra.server import spans, traces
from lavra.server.app import build_app
from lavra.server.config import ServeConfig
from lavra.server.served import ModelTable
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.server.conftest import running, served
from tests.server.test_edge import events, until

COLLECTOR = "http://127.0.0.1:9"  # nothing listens there, and nothing is sent
TALK = {"model": "talker", "messages": [{"role": "user", "content": "She loved Lily"}], "max_tokens": 6}
WRITE = {"model": "writer", "prompt": "Once upon a time", "max_tokens": 5, "temperature": 0}


@pytest.fixture(scope="module")
def traced():
    """A server whose spans are collected here instead of sent."""
    kept = InMemorySpanExporter()
    models = [served("talker", template=DEFAULT_CHAT_TEMPLATE), served("writer"), served("embedder", "bert")]
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spans, "OTLPSpanExporter", lambda endpoint, timeout: kept)
            patch.setattr(spans, "BatchSpanProcessor", SimpleSpanProcessor)
            url = stack.enter_context(running(models, traces=COLLECTOR))
        yield stack.enter_context(httpx2.Client(base_url=url, timeout=60)), kept


@pytest.fixture
def ask(traced):
    """Send a request; returns the answer with its span."""
    http, kept = traced

    def asking(path, body, **more):
        kept.clear()
        answer = http.post(path, json=body, **more)
        until(lambda: kept.get_finished_spans())
        (span,) = kept.get_finished_spans()
        assert_no_text(span, body, answer)
        return answer, span

    return asking


def assert_no_text(span, body, answer):
    """Neither the prompt nor the answer is in the span."""
    assert not span.events
    said = " ".join(str(one) for one in (span.name, span.status.description, *span.attributes.values()))
    asked = body.get("prompt") or body.get("input") or body["messages"][0]["content"]
    for text in [asked] if isinstance(asked, str) else asked:
        assert all(word not in said for word in text.split() if len(word) > 3)
    if answer.headers["content-type"] == "application/json" and "choices" in answer.json():
        for choice in answer.json()["choices"]:
            text = choice.get("text") or choice["message"]["content"]
            assert text[:4] not in said


def test_a_chat(ask):
    answer, span = ask("/v1/chat/completions", {**TALK, "temperature": 0.5, "top_p": 0.9, "top_k": 7, "seed": 3, "n": 2,
                                                "presence_penalty": 0.25, "frequency_penalty": 0.5})  # fmt: skip
    found, told = span.attributes, answer.json()
    assert span.name == "chat talker"
    assert span.kind is SpanKind.SERVER
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert dict(found) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "lavra",
        "gen_ai.request.model": "talker",
        "gen_ai.request.max_tokens": 6,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.top_k": 7,
        "gen_ai.request.seed": 3,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.presence_penalty": 0.25,
        "gen_ai.request.frequency_penalty": 0.5,
        "gen_ai.response.id": told["id"],
        "gen_ai.response.model": "talker",
        "gen_ai.response.finish_reasons": tuple(choice["finish_reason"] for choice in told["choices"]),
        "gen_ai.usage.input_tokens": told["usage"]["prompt_tokens"],
        "gen_ai.usage.cache_read.input_tokens": told["usage"]["prompt_tokens_details"]["cached_tokens"],
        "gen_ai.usage.output_tokens": told["usage"]["completion_tokens"],
        "gen_ai.server.time_to_first_token": found["gen_ai.server.time_to_first_token"],
    }
    assert 0 < found["gen_ai.server.time_to_first_token"] < (span.end_time - span.start_time) / 1e9
    known = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}
    assert set(found) - known == {"gen_ai.server.time_to_first_token"}, "a name that the conventions do not have"


def test_a_streamed_chat_lasts_until_its_end(ask):
    answer, span = ask("/v1/chat/completions", {**TALK, "stream": True, "stream_options": {"include_usage": True}})
    chunks = events(answer)
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.response.id"] == chunks[0]["id"]
    assert span.attributes["gen_ai.response.finish_reasons"] == ("length",)
    assert span.attributes["gen_ai.usage.output_tokens"] == chunks[-1]["usage"]["completion_tokens"] == 6
    assert span.attributes["gen_ai.usage.input_tokens"] == chunks[-1]["usage"]["prompt_tokens"]
    assert "gen_ai.request.temperature" not in span.attributes  # the request has none


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"background": True}], ids=["whole", "stream", "background"])
def test_a_response(ask, more):
    body = {"model": "talker", "input": "She loved Lily", "max_output_tokens": 6, "temperature": 0, **more}
    answer, span = ask("/v1/responses", body)
    told = json.loads(answer.text.rpartition("data: ")[2])["response"] if "stream" in more else answer.json()
    assert span.name == "chat talker"
    assert span.attributes["gen_ai.response.id"] == told["id"]
    assert span.attributes["gen_ai.request.max_tokens"] == 6
    if not more:
        assert span.attributes["gen_ai.usage.input_tokens"] == told["usage"]["input_tokens"]
        assert span.attributes["gen_ai.response.finish_reasons"] == ("length",)


def test_completions_of_several_prompts_under_an_alias(ask):
    body = {**WRITE, "model": "writer-alias", "prompt": ["Once upon", "there was a little"], "stop": "zzz"}
    answer, span = ask("/v1/completions", body)
    assert span.name == "text_completion writer-alias"
    assert span.attributes["gen_ai.response.model"] == "writer"
    assert span.attributes["gen_ai.request.stop_sequences"] == ("zzz",)
    assert len(span.attributes["gen_ai.response.finish_reasons"]) == 2
    for name, told in (("input", "prompt_tokens"), ("output", "completion_tokens")):
        assert span.attributes[f"gen_ai.usage.{name}_tokens"] == answer.json()["usage"][told]


def test_a_cached_answer_has_a_span_too(ask):
    body = {**WRITE, "prompt": "There was a girl named Lily"}
    first, again = ask("/v1/completions", body)[1], ask("/v1/completions", body)
    assert again[0].json()["usage"]["response_cached"]
    for name in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.response.finish_reasons"):
        assert again[1].attributes[name] == first.attributes[name]


def test_embeddings(ask):
    body = {"model": "embedder", "input": ["Once upon a time", "there was"], "dimensions": 8}
    answer, span = ask("/v1/embeddings", body)
    assert span.name == "embeddings embedder"
    assert span.attributes["gen_ai.usage.input_tokens"] == answer.json()["usage"]["prompt_tokens"]
    assert span.attributes["gen_ai.embeddings.dimension.count"] == 8
    assert "gen_ai.usage.output_tokens" not in span.attributes


@pytest.mark.parametrize(
    ("change", "kind", "name"),
    [
        ({"model": "nobody"}, "model_not_found", "text_completion"),
        ({"temperature": "hot"}, "invalid_request_error", "text_completion"),
        ({"prompt": "lavish " * 99}, "context_length_exceeded", "text_completion writer"),
        ({"n": 99}, "invalid_request_error", "text_completion writer"),
    ],
)
def test_errors_have_the_answers_own_word(ask, change, kind, name):
    answer, span = ask("/v1/completions", {**WRITE, **change})
    assert answer.json()["error"]["code" if answer.json()["error"]["code"] else "type"] == kind
    assert span.attributes["error.type"] == kind
    assert span.name == name
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None


@pytest.mark.parametrize("stream", [True, False])
def test_a_fault_of_ours_is_named_and_not_quoted(stream, monkeypatch):
    kept = InMemorySpanExporter()
    monkeypatch.setattr(spans, "OTLPSpanExporter", lambda endpoint, timeout: kept)
    model = served("writer")

    def fail(batch):
        raise ZeroDivisionError("secret detail")

    model.engine._passes.runner.forward = fail
    with running([model], traces=COLLECTOR) as url:
        httpx2.post(f"{url}/v1/completions", json={**WRITE, "stream": stream})
    (span,) = kept.get_finished_spans()  # sent before the server ended
    assert span.attributes["error.type"] == "ZeroDivisionError"
    assert "secret" not in span.to_json()


def test_a_client_that_leaves(monkeypatch):
    kept = InMemorySpanExporter()
    monkeypatch.setattr(spans, "OTLPSpanExporter", lambda endpoint, timeout: kept)
    model, slow = served("writer"), threading.Event()
    forward = model.engine._passes.runner.forward
    model.engine._passes.runner.forward = lambda batch: (slow.wait(0.05), forward(batch))[1]
    with running([model], traces=COLLECTOR) as url:
        for stream in (True, False):
            host, port = url.removeprefix("http://").split(":")
            body = json.dumps({**WRITE, "prompt": f"She {stream}", "max_tokens": 50, "stream": stream}).encode()
            before = model.engine.stats().written_tokens
            with socket.create_connection((host, int(port))) as connection:
                head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                until(lambda: model.engine.stats().written_tokens > before + 2)  # noqa: B023 - at once
            until(lambda: model.engine.stats().running == 0)
    found = kept.get_finished_spans()
    assert [span.attributes["error.type"] for span in found] == ["client_disconnected"] * 2
    assert all(3 <= span.attributes["gen_ai.usage.output_tokens"] < 30 for span in found)
    assert all("gen_ai.response.finish_reasons" not in span.attributes for span in found)


def test_the_clients_own_span_is_the_parent(ask):
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    _, span = ask("/v1/completions", WRITE, headers={"traceparent": f"00-{trace}-{parent}-01"})
    assert f"{span.context.trace_id:032x}" == trace
    assert f"{span.parent.span_id:016x}" == parent
    assert span.parent.is_remote
    _, alone = ask("/v1/completions", WRITE, headers={"traceparent": "nonsense"})
    assert alone.parent is None


def test_only_model_requests_that_passed_the_gate_are_traced(traced, monkeypatch):
    http, kept = traced
    kept.clear()
    http.get("/v1/models")
    http.get("/v1/completions")
    http.post("/tokenize", json={"text": "She"})
    assert not kept.get_finished_spans()
    monkeypatch.setattr(spans, "OTLPSpanExporter", lambda endpoint, timeout: kept)
    with running([served("writer")], traces=COLLECTOR, api_keys=("key",)) as url:
        assert httpx2.post(f"{url}/v1/completions", json=WRITE).status_code == 401
    assert not kept.get_finished_spans()


def test_a_collector_gets_them_over_http():
    got = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, args=(0.01,), daemon=True).start()
        with running([served("writer")], traces=f"http://127.0.0.1:{collector.server_port}") as url:
            httpx2.post(f"{url}/v1/completions", json=WRITE)
        collector.shutdown()
    ((path, body),) = got
    assert path == "/v1/traces"
    (sent,) = ExportTraceServiceRequest.FromString(body).resource_spans
    (span,) = sent.scope_spans[0].spans
    assert span.name == "text_completion writer"
    resource = {one.key: one.value.string_value for one in sent.resource.attributes}
    assert resource["service.name"] == "lavra"


def test_without_the_extra_it_is_an_error_with_a_remedy_and_off_costs_nothing(monkeypatch):
    monkeypatch.delitem(sys.modules, "lavra.server.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    model = served("writer")
    with pytest.raises(MissingDependencyError, match=r"sending traces needs .* pip install 'lavra\[otel\]'"):
        build_app(ModelTable([model]), ServeConfig(traces=COLLECTOR))
    app = build_app(ModelTable([model]), ServeConfig())
    assert [one.cls.__name__ for one in app.user_middleware] == ["Gate"]
    assert traces.current() is None
    model.engine.close()
    with pytest.raises(ConfigError, match=r"traces is 'collector:4318'; give the URL"):
        ServeConfig(traces="collector:4318")
