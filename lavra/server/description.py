"""The description at `/openapi.json`: what FastAPI knows of the endpoints, and what stands before all of them.

Routes name their answers.  The gate, the reader of bodies and the router refuse alike wherever a request goes: their
statuses are added here, in the error shape of each path's protocol.  FastAPI's own 422 is sent by nobody.

Reference: https://spec.openapis.org/oas/v3.1.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from lavra.server.answers import ErrorAnswer
from lavra.server.gate import OPEN_PATHS
from lavra.server.protocol import Protocol

_METHODS: Final = ("get", "post", "put", "delete", "patch")
_ALWAYS: Final = (500,)
_NAMING: Final = (400, 403, 404)  # of a request that names something: a model, a group, an id
_BODY: Final = (408, 413, 415, 429)
_HEADERS: Final[Mapping[int, tuple[str, str]]] = {
    401: ("WWW-Authenticate", "how a key is sent"),
    429: ("Retry-After", "seconds"),
}
_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


class DescribedApp(FastAPI):
    """An application that describes itself, refusals included.

    Attributes:
        protocols: whose error shapes its paths have.
        keyed: whether requests need a key.
    """

    protocols: Sequence[Protocol] = ()
    keyed: bool = False

    def openapi(self) -> dict[str, Any]:
        """The description; made once."""
        if self.openapi_schema is None:
            complete(super().openapi(), self.protocols, keyed=self.keyed)
        assert self.openapi_schema is not None
        return self.openapi_schema

    def send_description(self) -> Response:
        """Send it; called in a thread, for it takes a third of a second to make."""
        return JSONResponse(self.openapi())


def complete(described: dict[str, Any], protocols: Sequence[Protocol], *, keyed: bool) -> None:
    """Add to FastAPI's description, in place.

    Args:
        described: FastAPI's.
        protocols: of the server.
        keyed: whether requests need a key.
    """
    components = described.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unsent in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unsent, None)
    if keyed:
        components["securitySchemes"] = _SCHEMES
        described["security"] = [{name: []} for name in _SCHEMES]
    for path, item in described["paths"].items():
        error = _error_schema(path, protocols, schemas)
        for method in _METHODS:
            if method in item:
                _complete_operation(item[method], path, error, keyed=keyed)


def _complete_operation(operation: dict[str, Any], path: str, error: dict[str, Any], *, keyed: bool) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    guarded = keyed and path not in OPEN_PATHS
    if keyed and not guarded:
        operation["security"] = []
    statuses = [*_ALWAYS, *((401,) if guarded else ())]
    if "requestBody" in operation or "parameters" in operation or "search" in operation.get("tags", ()):
        statuses += _NAMING
    if "requestBody" in operation:
        statuses += _BODY
    for status in sorted(statuses):
        answers.setdefault(str(status), _refusal(status, error))


def _refusal(status: int, error: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": error}},
    }
    if status in _HEADERS:
        name, what = _HEADERS[status]
        told["headers"] = {name: {"description": what, "schema": {"type": "string"}}}
    return told


def _error_schema(path: str, protocols: Sequence[Protocol], schemas: dict[str, Any]) -> dict[str, Any]:
    """A reference to the error object of a path's protocol, which is put among the schemas."""
    own = next((one for one in protocols if one.write_error is not None and path.startswith(one.paths)), None)
    if own is not None and own.error_answer is None:
        return {"type": "object"}
    model = ErrorAnswer if own is None or own.error_answer is None else own.error_answer
    reference = "#/components/schemas/{model}"
    schema = model.model_json_schema(ref_template=reference)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return {"$ref": reference.format(model=model.__name__)}
