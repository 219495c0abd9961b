"""`docs/http.md`: every endpoint of the server, from the description that it serves at `/openapi.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from lavra.server.answers import ErrorAnswer
from lavra.server.app import build_app
from lavra.server.config import ServeConfig
from lavra.server.served import ModelTable, ServedModel
from lavra.tokens.tokenizer import Tokenizer
from reference.json_schema import Schema, fields, in_words, name_of, shape
from reference.page import DOCS, table, with_reference

PAGE: Final = DOCS / "http.md"
_GROUPS: Final = {
    "chat": "Chat",
    "completions": "Completions",
    "embeddings": "Embeddings",
    "responses": "Responses",
    "messages": "Anthropic's protocol",
    "ollama": "Ollama's protocol",
    "llama.cpp": "llama.cpp's endpoints",
    "cohere": "Cohere's endpoints",
    "fill-mask": "Gaps in texts",
    "heads": "Tasks with a head",
    "search": "Search",
    "tokens": "Tokens",
    "server": "The server",
}
"""The heading of each group of endpoints, by its tag in the description."""
_BODY: Final = ("field", "type", "default", "meaning")
_STATUSES: Final = {
    "400": "the request is wrong: the message names the field, its bound and the remedy",
    "401": "a key is missing or unknown; `WWW-Authenticate` says how it is sent",
    "403": "the key does not read that group of documents",
    "404": "nothing has that path, name or id",
    "408": "the body did not arrive in time",
    "413": "the body is too large",
    "415": "the body is not JSON, or is packed in an unknown way",
    "429": "too many requests wait, or there is no room to keep a response; `Retry-After` has seconds",
    "500": "a fault of the server",
    "503": "the server stops",
}
_MEANS: Final = {"text/event-stream": "server-sent events", "application/x-ndjson": "lines of JSON"}


def pages() -> dict[Path, str]:
    """The page of the endpoints."""
    return {PAGE: with_reference(PAGE.read_text(encoding="utf-8"), endpoint_lines(description()))}


def description() -> dict[str, Any]:
    """The description of a server with a key, so that refusals of keys are in it; no model is asked."""
    model = ServedModel(name="mine", tokenizer=cast(Tokenizer, None))
    return build_app(ModelTable([model]), ServeConfig(api_keys=("key",))).openapi()


def endpoint_lines(described: Mapping[str, Any]) -> Iterator[str]:
    """The lines about all endpoints, objects of requests and errors."""
    schemas = described["components"]["schemas"]
    by_group: dict[str, list[tuple[str, str, Any]]] = {tag: [] for tag in _GROUPS}
    for path, item in described["paths"].items():
        for method, operation in item.items():
            by_group[operation["tags"][0]].append((method, path, operation))
    for tag, operations in by_group.items():
        yield f"## {_GROUPS[tag]}\n"
        for method, path, operation in operations:
            yield from _operation(method, path, operation, schemas)
    yield from _objects(described, schemas)
    yield from _errors(described, schemas)


def _operation(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    sentence = operation.get("description", "").strip()
    if not sentence:
        raise ValueError(f"{method.upper()} {path} has no sentence; give its function a docstring")
    yield f"### `{method.upper()} {path}`\n"
    yield sentence[0].upper() + sentence[1:].rstrip(".") + "." + "\n"
    yield from _table_of(path, [_parameter(one) for one in operation.get("parameters", ())])
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if body:
        yield from _table_of(path, list(fields(schemas[name_of(body)])))
    yield from _answer(operation["responses"]["200"].get("content", {}), schemas)
    refused = ", ".join(f"`{status}`" for status in sorted(operation["responses"]) if status != "200")
    yield f"\nErrors: {refused} ([Errors](#errors)).\n"


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str, str, str]:
    schema = {
        "properties": {parameter["name"]: parameter["schema"] | {"description": parameter.get("description", "")}}
    }
    name, kind, default, sentence = next(fields(schema))
    place = "in the path" if parameter["in"] == "path" else "behind `?`"
    return name, f"{kind}, {place}", "required" if parameter["required"] else default, sentence


def _table_of(path: str, rows: Sequence[tuple[str, str, str, str]]) -> Iterator[str]:
    for name, _, _, sentence in rows:
        if not sentence:
            raise ValueError(f"{name} of {path} has no sentence; give it a description in its class")
    yield from table(_BODY, rows)


def _answer(content: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    """The shape of an answer, and its other forms."""
    schema = content.get("application/json", {}).get("schema", {})
    streams = [words for kind, words in _MEANS.items() if kind in content]
    also = f"; with `stream`, {' or '.join(streams)}" if streams else ""
    if not schema:
        yield f"\nThe answer: {'text' if 'text/plain' in content else 'an object of that protocol'}{also}."
        return
    yield f"\nThe answer{also}:\n" if also else "\nThe answer:\n"
    yield "```text"
    for number, one in enumerate(schema.get("anyOf", [schema])):
        if number:
            yield "or"
        yield from _answer_shape(one, schemas)
    yield "```"


def _answer_shape(schema: Schema, schemas: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one form of an answer."""
    name, items = name_of(schema), schema.get("items", {})
    if name:
        fields_of = list(shape(schemas[name], schemas))
        yield from fields_of or [schemas[name]["description"].strip()]
    elif name_of(items):
        yield "list of objects"
        yield from shape(schemas[name_of(items)], schemas, "  ")
    else:
        yield "list of these" if "$ref" in str(items) else in_words(schema)


def _objects(described: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    """Objects inside requests, each in a table."""
    yield "## Objects of requests\n"
    bodies = [
        name_of(operation["requestBody"]["content"]["application/json"]["schema"])
        for item in described["paths"].values()
        for operation in item.values()
        if "requestBody" in operation
    ]
    for name in sorted({name for body in bodies for name in _reached(schemas[body], schemas)}):
        yield f"### {name}\n"
        yield f"{schemas[name].get('description', '').strip()}\n"
        yield from _table_of(name, list(fields(schemas[name])))
        yield ""


def _reached(schema: Any, schemas: Mapping[str, Any]) -> set[str]:
    """The names of all schemas that a schema refers to, in steps."""
    found, waiting = set[str](), [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            name = name_of(one) if isinstance(one.get("$ref"), str) else ""
            if name and name not in found:
                found.add(name)
                waiting.append(schemas[name])
        waiting += one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else ()
    return found


def _errors(described: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    """The statuses of refusals, and the error objects."""
    yield "## Errors\n"
    shapes: dict[str, list[str]] = {}
    met = set[str]()
    for path, item in described["paths"].items():
        for operation in item.values():
            met |= {status for status in operation["responses"] if status != "200"}
            schema = operation["responses"]["500"]["content"]["application/json"]["schema"]
            shapes.setdefault(name_of(schema), []).append(path)
    yield from table(("status", "meaning"), ((f"`{status}`", _STATUSES[status]) for status in sorted(met)))
    for name, paths in sorted(shapes.items(), key=lambda one: len(one[1])):
        where = ", ".join(f"`{path}`" for path in dict.fromkeys(paths))
        yield f"\nThe body of an error of {'any other path' if name == ErrorAnswer.__name__ else where}:\n"
        yield "```text"
        yield from shape(schemas[name], schemas)
        yield "```"
