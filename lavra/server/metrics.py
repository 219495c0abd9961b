"""The metrics of a server, for Prometheus.

Names follow OpenTelemetry's conventions for generative models where it has them, with Prometheus' underscores
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from lavra.base.errors import OverloadedError
from lavra.base.types import Completion, Delta
from lavra.engine.engine import Engine
from lavra.engine.stream import Piece, PieceWatch

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_PER_TOKEN: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Metrics:
    """The metrics of a server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        by_model, registry = ("model",), self.registry
        self._first = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "from submission to the first token",
            by_model,
            buckets=_SECONDS,
            registry=registry,
        )
        self._each = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "of a completion's tokens after the first, their mean",
            by_model,
            buckets=_PER_TOKEN,
            registry=registry,
        )
        self._tokens = Counter(
            "gen_ai_client_token_usage_tokens",
            "tokens read, found in the cache, written",
            labelnames=("model", "type"),
            registry=self.registry,
        )
        self._finished = Counter(
            "lavra_completions", "completions by how they ended", labelnames=("model", "reason"), registry=self.registry
        )
        self._accepted = Counter(
            "lavra_samples_accepted", "completions the engine took on", by_model, registry=self.registry
        )
        self._ended = Counter(
            "lavra_samples_ended",
            "of those, the ones that ended, cancelled and failed ones too, by how",
            labelnames=("model", "reason"),
            registry=self.registry,
        )
        self._responses = Counter(
            "http_server_responses", "answers by path and status", labelnames=("path", "status"), registry=self.registry
        )
        self._active = Gauge("http_server_active_requests", "requests that are being answered", registry=registry)
        self._weights = Gauge(
            "lavra_weights_bytes", "memory that a model's weights take, as they are held", by_model, registry=registry
        )
        ProcessCollector(registry=registry)  # memory of the whole process, on Linux
        self._gauges = {
            name: Gauge(f"lavra_engine_{name}", help_, by_model, registry=registry)
            for name, help_ in (
                ("waiting", "sequences without a place"),
                ("running", "sequences with a place"),
                ("free_blocks", "cache blocks nobody holds"),
                ("num_blocks", "cache blocks"),
                ("preempted", "sequences that gave their blocks back, since the start"),
                ("cached_tokens", "prompt tokens found in the prefix cache, since the start"),
            )
        }

    def watch(self, model: str) -> PieceWatch:
        """Watch a completion: the time of its first token, the mean time of each later token, and its end."""
        began = time.perf_counter()
        first: float | None = None

        def watch(piece: Piece) -> None:
            nonlocal first
            if first is not None and isinstance(piece, Delta) and piece.completion is None:
                return  # as nearly all
            now, end = time.perf_counter(), _end(piece)
            if first is None and not isinstance(piece, BaseException) and piece.tokens:
                first = now
                self._first.labels(model).observe(now - began)
            if end is None:
                return
            self._ended.labels(model, end).inc()
            if first is not None and isinstance(piece, Delta) and piece.completion is not None:
                later = len(piece.completion.tokens) - 1
                if later > 0:
                    self._each.labels(model).observe((now - first) / later)

        return watch

    def accepted(self, model: str, count: int) -> None:
        """Count accepted completions; each ends once, also when its client has left."""
        self._accepted.labels(model).inc(count)

    def finished(self, model: str, completions: Sequence[Completion]) -> None:
        """Count the ended completions of one prompt."""
        for number, one in enumerate(completions):
            self._finished.labels(model, one.finish_reason.value).inc()
            self._tokens.labels(model, "output").inc(one.usage.completion_tokens)
            if number == 0:
                self._tokens.labels(model, "input").inc(one.usage.prompt_tokens)
                self._tokens.labels(model, "cached").inc(one.usage.cached_tokens)

    def gauge(self, name: str, help_: str, read: Callable[[], float]) -> None:
        """Add a gauge; every request for the metrics reads it, in the event loop's thread."""
        Gauge(name, help_, registry=self.registry).set_function(read)

    def active(self, change: int) -> None:
        """Count requests that came (1) or ended (-1)."""
        self._active.inc(change)

    def answered(self, path: str, status: int) -> None:
        """Count a sent response."""
        self._responses.labels(path, str(status)).inc()

    def text(self, engines: dict[str, Engine], weights: dict[str, int]) -> bytes:
        """All metrics as Prometheus reads them; `weights` are bytes by model."""
        for model, num_bytes in weights.items():
            self._weights.labels(model).set(num_bytes)
        for model, engine in engines.items():
            stats = engine.stats()
            for name, gauge in self._gauges.items():
                gauge.labels(model).set(getattr(stats, name))
        return generate_latest(self.registry)


def _end(piece: Piece) -> str | None:
    """The end of a completion, if this piece is its last; else None."""
    if isinstance(piece, OverloadedError):
        return "late"  # it waited until its deadline
    if isinstance(piece, BaseException):
        return "failed"
    return None if piece.completion is None else piece.completion.finish_reason.value
