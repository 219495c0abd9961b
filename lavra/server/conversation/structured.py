"""The form an answer must have, in whichever field a client writes it.

OpenAI has `response_format` (https://platform.openai.com/docs/guides/structured-outputs), vLLM `structured_outputs` and
before it `guided_…` (https://docs.vllm.ai/en/latest/features/structured_outputs.html), llama.cpp `grammar` and
`json_schema` (https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md).  All come down to one
constraint of the engine's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.types import Constraint, ConstraintKind
from lavra.engine.schema.patterns import escaped
from lavra.server.schemas import ResponseFormat, Sampled, StructuredOutputs

_ANY_OBJECT: Final = Constraint(ConstraintKind.JSON_SCHEMA, json.dumps({"type": "object"}))


def constraint_of(body: Sampled) -> Constraint | None:
    """The constraint of the answer; `None` where the request has none.

    Raises:
        InputError: the request names a form without giving it, or several fields ask for a form.
    """
    found = dict(_asked(body))
    if len(found) > 1:
        raise InputError(f"{' and '.join(found)} each set the form of the answer; keep one of them")
    return next(iter(found.values()), None)


def form_field(body: Sampled) -> str | None:
    """The field that asks for a form of the answer.

    Raises:
        InputError: as `constraint_of`.
    """
    return next((name for name, _ in _asked(body)), None)


def _asked(body: Sampled) -> Iterator[tuple[str, Constraint]]:
    """Each field that asks for a form, and the form."""
    if body.response_format is not None:
        constraint = _of_format(body.response_format)
        if constraint is not None:
            yield "response_format", constraint
    if body.structured_outputs is not None:
        yield from _of_structured(body.structured_outputs)
    if body.guided_json is not None:
        yield "guided_json", _schema(body.guided_json, "guided_json")
    if body.guided_regex is not None:
        yield "guided_regex", Constraint(ConstraintKind.REGEX, body.guided_regex)
    if body.guided_choice is not None:
        yield "guided_choice", _one_of(body.guided_choice)
    if body.guided_grammar is not None:
        yield "guided_grammar", Constraint(ConstraintKind.GRAMMAR, body.guided_grammar)
    if body.grammar:
        yield "grammar", Constraint(ConstraintKind.GRAMMAR, body.grammar)
    if body.json_schema is not None:
        yield "json_schema", _schema(body.json_schema, "json_schema")


def _of_format(wanted: ResponseFormat) -> Constraint | None:
    if wanted.type == "text":
        return None
    if wanted.type in ("json_object", "json_schema"):
        schema = wanted.plain_schema if wanted.json_schema is None else wanted.json_schema.get("schema")
        if schema is None and wanted.type == "json_object":
            return _ANY_OBJECT
        if not isinstance(schema, dict):
            raise InputError('response_format.json_schema needs a "schema", as in {"name": "x", "schema": {…}}')
        return _schema(schema, "response_format")
    text = wanted.regex if wanted.type == "regex" else wanted.grammar
    if text is None:
        raise InputError(f'response_format of type {wanted.type} needs "{wanted.type}"')
    return Constraint(ConstraintKind.REGEX if wanted.type == "regex" else ConstraintKind.GRAMMAR, text)


def _of_structured(wanted: StructuredOutputs) -> Iterator[tuple[str, Constraint]]:
    if wanted.structural_tag is not None:
        raise InputError("structured_outputs.structural_tag is not served; offer tools, or write a grammar")
    if wanted.json_form is not None:
        yield "structured_outputs.json", _schema(wanted.json_form, "structured_outputs.json")
    if wanted.json_object:
        yield "structured_outputs.json_object", _ANY_OBJECT
    if wanted.regex is not None:
        yield "structured_outputs.regex", Constraint(ConstraintKind.REGEX, wanted.regex)
    if wanted.choice is not None:
        yield "structured_outputs.choice", _one_of(wanted.choice)
    if wanted.grammar is not None:
        yield "structured_outputs.grammar", Constraint(ConstraintKind.GRAMMAR, wanted.grammar)


def _schema(schema: dict[str, Any] | str, field: str) -> Constraint:
    """A schema as an object, or as its text."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{field} is a text that is not JSON: {error}") from None
        if not isinstance(schema, dict):
            raise InputError(f'{field} is not a JSON schema; give an object such as {{"type": "object"}}')
    return Constraint(ConstraintKind.JSON_SCHEMA, json.dumps(schema))


def _one_of(choices: Sequence[str]) -> Constraint:
    return Constraint(ConstraintKind.REGEX, "|".join(map(escaped, choices)))
