"""Errors in the shape of OpenAI's clients, with a status that separates faults of the client from faults of the server.

No input of a client may cause a 500.
The log holds the traceback of a 500 under the request's id; the answer gives no details.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lavra.base.errors import ContextLengthError, InputError, OverloadedError, UnknownDocumentError
from lavra.server import traces
from lavra.server.invalid import faults_in_words, wrong_fields
from lavra.server.paths import KnownPaths
from lavra.server.served import UnknownModelError

CLIENT_LEFT: Final = 499  # no client reads this status; it is for the log

# Writes the error of a path (path, status, OpenAI's error object) as the protocol of the path does.
ErrorShape = Callable[[str, int, dict[str, Any]], dict[str, Any]]


class RequestError(HTTPException):
    """A request that no endpoint answers.

    Args:
        status: status of the answer.
        message: the fault, the bound and the remedy.
        code: `code` of the error.
        headers: headers of the answer.
    """

    def __init__(self, status: int, message: str, *, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.code = code


class BodyError(RequestError):
    """The body of a request cannot be read."""


class FieldError(InputError):
    """A field of a request cannot be served.

    Attributes:
        param: the field, as the client wrote it.
        code: code of the error, for programs.
    """

    def __init__(self, message: str, param: str, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.code = param, code


def error_body(
    message: str, kind: str = "invalid_request_error", *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def describe(error: BaseException) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers for an error."""
    if isinstance(error, UnknownModelError):
        return 404, error_body(str(error), param="model", code="model_not_found"), {}
    if isinstance(error, UnknownDocumentError):
        return 404, error_body(str(error), code="document_not_found"), {}
    if isinstance(error, ContextLengthError):
        return 400, error_body(str(error), code="context_length_exceeded"), {}
    if isinstance(error, OverloadedError):
        headers = {"Retry-After": str(math.ceil(error.retry_after))}
        return 429, error_body(str(error), "rate_limit_error", code="overloaded"), headers
    if isinstance(error, FieldError):
        return 400, error_body(str(error), param=error.param, code=error.code), {}
    if isinstance(error, InputError):
        return 400, error_body(str(error)), {}
    if isinstance(error, RequestValidationError):
        return 400, _invalid(error), {}
    if isinstance(error, HTTPException):
        code = error.code if isinstance(error, RequestError) else None
        unread = isinstance(error.__cause__, ValueError)  # FastAPI's, of a body
        message = _unreadable(error.__cause__) if unread else str(error.detail)
        return error.status_code, error_body(message, code=code), dict(error.headers or {})
    return 500, error_body("the server failed; its log has the reason under this request's id", "server_error"), {}


def _invalid(error: RequestValidationError) -> dict[str, Any]:
    errors = error.errors()
    if errors[0]["type"] == "json_invalid":
        place, reason = errors[0]["loc"][-1], errors[0].get("ctx", {}).get("error", errors[0]["msg"])
        return error_body(f"the body is not JSON: {reason} (character {place})", code="invalid_json")
    wrong = wrong_fields(errors, error.body)
    return error_body(faults_in_words(wrong), param=wrong[0].field or None)


def _unreadable(cause: BaseException | None) -> str:
    """The error of a body that is not JSON, with the reason."""
    return f"the body is not JSON that this server reads: {cause}"


def _unknown(request: Request, error: HTTPException, paths: KnownPaths) -> HTTPException:
    """The router's 404 and 405 with a remedy; other errors as they are."""
    method, path = request.method, request.url.path
    if error.detail not in (HTTPStatus.NOT_FOUND.phrase, HTTPStatus.METHOD_NOT_ALLOWED.phrase):  # an endpoint's own
        return error
    if error.status_code == HTTPStatus.NOT_FOUND:
        return RequestError(404, f"{method} {path} is not served here; {paths.remedy(path)}", code="unknown_url")
    allowed = ", ".join(paths.methods(path)) or (error.headers or {}).get("Allow", "")
    message = f"{path} does not take {method}; it takes {allowed}"
    return RequestError(405, message, code="method_not_allowed", headers={"Allow": allowed})


def openai_shape(_path: str, _status: int, error: dict[str, Any]) -> dict[str, Any]:
    """Return OpenAI's error object unchanged."""
    return error


def install_handlers(app: FastAPI, shape: ErrorShape = openai_shape, paths: KnownPaths | None = None) -> None:
    """Give every error the shape of its path's protocol; the gate handles faults of the server.

    Args:
        app: application of the errors.
        shape: gives the error shape of a path.
        paths: served paths, to name the nearest path.
    """

    async def handle(request: Request, error: Exception) -> JSONResponse:
        if paths is not None and isinstance(error, HTTPException):
            error = _unknown(request, error, paths)
        status, body, headers = describe(error)
        traces.failed(error)
        return JSONResponse(shape(request.url.path, status, body), status_code=status, headers=headers)

    for kind in (InputError, OverloadedError, UnknownModelError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)
