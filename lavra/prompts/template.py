"""Jinja templates of prompts: their names are known before they are rendered, and an undefined name is an error.

The sandbox is that of chat templates (`lavra.tokens.chat.sandbox`), because a prompt file may also come from another
person. Beyond it, a prompt is a function of its variables: templates have no clock, no randomness (`lipsum`, `random`)
and no other file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.exceptions
import jinja2.meta
import jinja2.nodes
import jinja2.sandbox

from lavra.base.errors import ConfigError, InputError
from lavra.tokens.chat import plain_value, sandbox


class PromptError(ConfigError):
    """An error in a prompt, with its place.

    Attributes:
        path: the setting with the error, as in `variables[0].default`.
        reason: the error, and its remedy.
        line: the line of the template, from 1, where the error is in a template.
    """

    def __init__(self, path: str, reason: str, line: int | None = None) -> None:
        super().__init__(f"{path}: {reason}" if line is None else f"{path}: line {line}: {reason}")
        self.path, self.reason, self.line = path, reason, line


def template_names(source: str, path: str) -> dict[str, int]:
    """The names that a template takes from outside, each with the first line it stands on.

    Args:
        source: Jinja source.
        path: name of the template in errors.

    Raises:
        PromptError: it is not valid Jinja, or asks for another template.
    """
    try:
        tree = _environment().parse(source)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(path, f"is not valid Jinja: {error.message}", error.lineno) from error
    if any(True for _ in jinja2.meta.find_referenced_templates(tree)):
        raise PromptError(path, "includes or imports another template; a prompt is one file, so write it out here")
    names = jinja2.meta.find_undeclared_variables(tree) - builtin_names()
    lines: dict[str, int] = {}
    for node in tree.find_all(jinja2.nodes.Name):
        if node.name in names:
            lines[node.name] = min(node.lineno, lines.get(node.name, node.lineno))
    return lines


def builtin_names() -> frozenset[str]:
    """The names that every template has without a caller's values."""
    return frozenset(_environment().globals)


def render_template(source: str, values: Mapping[str, Any], path: str) -> str:
    """Fill a template in; one line break at its very end, which YAML's `|` always leaves, is not part of it.

    Args:
        source: Jinja source.
        values: value of each name, in JSON types.
        path: name of the template in errors.

    Raises:
        InputError: the template uses an undefined name, does something that the sandbox forbids, or refuses these
            values.
    """
    given = {name: plain_value(value, f"{path}: variable {name!r}") for name, value in values.items()}
    try:
        return _compiled(source).render(given)
    except jinja2.exceptions.SecurityError as error:
        raise InputError(f"{path} uses an operation that templates may not use: {error}; take that out") from error
    except jinja2.UndefinedError as error:
        raise InputError(f"{path} names what is not there: {error}; give it a value") from error
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{path} fails on these values: {error}; check them against the template") from error


@lru_cache(maxsize=256)
def _compiled(source: str) -> jinja2.Template:
    return _environment().from_string(source)


@lru_cache(maxsize=1)
def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = sandbox(undefined=jinja2.StrictUndefined)
    del environment.globals["lipsum"], environment.filters["random"]
    return environment
