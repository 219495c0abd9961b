"""Settings of a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lavra.base.errors import ConfigError

_POSITIVE: Final = (
    "max_body_bytes", "body_seconds", "max_header_bytes", "max_headers", "header_seconds", "keep_alive_seconds",
    "stored_response_bytes", "tenant_responses", "tenant_response_bytes", "max_samples", "queue_seconds",
    "drain_seconds",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """The settings of a server towards its clients.

    Attributes:
        host: address to listen on; this machine only by default.
        port: port to listen on; 0 takes any free port.
        api_keys: a request must give a key of these in `Authorization: Bearer`; without keys the server asks for none.
        key_groups: groups whose documents a key reads in an index, by key; `*` reads all of them, and a key without
            groups reads the public documents only.
        strict: an unknown field is an error instead of a warning.
        max_body_bytes: largest size of a request's body, packed and unpacked.
        body_seconds: longest time for a request's body to arrive.
        max_header_bytes: largest size of a request's first line and headers together.
        max_headers: largest number of headers of a request.
        header_seconds: longest time for a request's headers to arrive.
        keep_alive_seconds: a connection without a request is closed after this time; clients' pools keep theirs for 5
            seconds, and a connection closed under a request is an error there.
        response_cache: number of answers kept for identical requests; 0 keeps none.
        stored_responses: responses kept so that a later one may continue them; the oldest go first, and 0 keeps none.
        stored_response_bytes: memory for stored responses, with the events of background responses.
        tenant_responses: number of stored responses for one key.
        tenant_response_bytes: memory of stored responses for one key.
        max_samples: largest `n` and `best_of` of a request.
        queue_seconds: a request that waited this long for its turn is refused.
        drain_seconds: longest time for running requests to end after SIGTERM.
        cors_origins: origins of other web pages that may use the server; none by default.
        traces: URL of an OpenTelemetry collector (OTLP over HTTP) that gets a span of every model request, without its
            text; by default no span is sent.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[str, ...] = ()
    key_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strict: bool = False
    max_body_bytes: int = 4_000_000
    body_seconds: float = 60.0
    max_header_bytes: int = 32_768
    max_headers: int = 128
    header_seconds: float = 20.0
    keep_alive_seconds: int = 30
    response_cache: int = 256
    stored_responses: int = 1000
    stored_response_bytes: int = 64_000_000
    tenant_responses: int = 250
    tenant_response_bytes: int = 32_000_000
    max_samples: int = 16
    queue_seconds: float = 60.0
    drain_seconds: float = 30.0
    cors_origins: tuple[str, ...] = ()
    traces: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port is {self.port}; give 0 to 65535")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; give more than 0")
        for name in ("response_cache", "stored_responses"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 0 or more")
        if self.traces is not None and not self.traces.startswith(("http://", "https://")):
            raise ConfigError(f"traces is {self.traces!r}; give the URL of a collector, as http://127.0.0.1:4318")
        if any(not key.strip() for key in self.api_keys):
            raise ConfigError("an API key is empty; leave it out, or write one")

    def __repr__(self) -> str:
        return f"ServeConfig(host={self.host!r}, port={self.port}, {len(self.api_keys)} API keys)"  # keys are secrets
