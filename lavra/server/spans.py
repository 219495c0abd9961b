"""Traces as OpenTelemetry's spans, sent to a collector over HTTP; only a server with traces imports this module."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lavra.base.version import VERSION
from lavra.server.errors import describe
from lavra.server.traces import CURRENT, Trace

# The convention's name of a model request, by its path; requests to other paths have none.
OPERATIONS: Final = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
_CLIENT_LEFT: Final = "client_disconnected"
_SECONDS: Final = 5.0  # a collector is near, and a stopping server must not wait longer for a lost one
_PARENTS: Final = TraceContextTextMapPropagator()


def open_provider(url: str) -> TracerProvider:
    """Make the provider that sends spans to a collector, in the background.

    Args:
        url: URL of OTLP over HTTP; without a path, the usual path is added.
    """
    endpoint = url if urlsplit(url).path.strip("/") else url.rstrip("/") + "/v1/traces"
    provider = TracerProvider(resource=Resource.create({"service.name": "lavra", "service.version": VERSION}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_SECONDS)))
    return provider


class Spans:
    """The middleware that makes a span for each model request that passed the gate.

    Args:
        app: application behind it.
        provider: provider that sends the spans.
    """

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        self._app, self._tracer = app, provider.get_tracer("lavra", VERSION)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        asks = scope["type"] == "http" and scope["method"] == "POST"
        operation = OPERATIONS.get(scope["path"]) if asks else None
        if operation is None:
            await self._app(scope, receive, send)
            return
        trace, presence = Trace(), _Presence()
        facts = {"gen_ai.operation.name": operation, "gen_ai.provider.name": "lavra"}
        span = self._tracer.start_span(operation, context=_parent(scope), kind=SpanKind.SERVER, attributes=facts)
        before = CURRENT.set(trace)
        try:
            await self._app(scope, presence.receiving(receive), presence.sending(send))
        except Exception as error:  # it becomes a 500 further out
            trace.error = error
            raise
        finally:
            CURRENT.reset(before)
            _finish(span, operation, trace, left=presence.left)


class _Presence:
    """Whether a client stayed until the end of its answer."""

    def __init__(self) -> None:
        self.left = self._answered = False

    def receiving(self, receive: Receive) -> Receive:
        async def watched() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not self._answered:
                self.left = True
            return message

        return watched

    def sending(self, send: Send) -> Send:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                self._answered = True
            await send(message)

        return watched


def _parent(scope: Scope) -> Context:
    """The context of the client's own span, from its headers (https://www.w3.org/TR/trace-context/)."""
    names = (b"traceparent", b"tracestate")
    carrier = {key.decode(): value.decode("latin-1") for key, value in scope["headers"] if key in names}
    return _PARENTS.extract(carrier)


def _finish(span: Span, operation: str, trace: Trace, *, left: bool) -> None:
    if trace.model is not None:
        span.update_name(f"{operation} {trace.model}")
    span.set_attributes(trace.attributes())
    kind = _CLIENT_LEFT if left else None if trace.error is None else _kind(trace.error)
    if kind is not None:
        span.set_attribute("error.type", kind)
        span.set_status(Status(StatusCode.ERROR))  # without the message, which may quote the request
    span.end()


def _kind(error: BaseException) -> str:
    """The error code in the answer; for a fault of the server, the exception's name."""
    status, body, _ = describe(error)
    if status >= 500:
        return type(error).__qualname__
    return str(body["error"]["code"] or body["error"]["type"])
