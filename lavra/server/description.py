"""The description at `/openapi.json`: FastAPI's description of the endpoints, and the refusals common to all of them.

Routes name their answers.
The gate, the reader of bodies and the router refuse requests of any path: this module adds their statuses, in the error
shape of each path's protocol.
No endpoint sends FastAPI's own 422.

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
_NAMING: Final = (400, 403, 404)  # statuses of a request that names a model, a group or an id
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
        protocols: protocols that give the error shapes of the paths.
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
        """Send the description; called in a thread, because making it takes a third of a second."""
        return JSONResponse(self.openapi())


def complete(described: dict[str, Any], protocols: Sequence[Protocol], *, keyed: bool) -> None:
    """Add to FastAPI's description, in place.

    Args:
        described: FastAPI's description.
        protocols: protocols of the server.
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
    described: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": error}},
    }
    if status in _HEADERS:
        name, what = _HEADERS[status]
        described["headers"] = {name: {"description": what, "schema": {"type": "string"}}}
    return described


def _error_schema(path: str, protocols: Sequence[Protocol], schemas: dict[str, Any]) -> dict[str, Any]:
    """Add the error object of a path's protocol to the schemas; return a reference to it."""
    own = next((one for one in protocols if one.write_error is not None and path.startswith(one.paths)), None)
    if own is not None and own.error_answer is None:
        return {"type": "object"}
    model = ErrorAnswer if own is None or own.error_answer is None else own.error_answer
    reference = "#/components/schemas/{model}"
    schema = model.model_json_schema(ref_template=reference)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return {"$ref": reference.format(model=model.__name__)}
