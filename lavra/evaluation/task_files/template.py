"""Templates of task files, rendered in Jinja's sandbox as lm-evaluation-harness renders them.

Jinja has the harness' settings: an undefined name is an error, a last line break is kept, blocks leave their line
breaks behind, and there is an additional filter, `regex_replace`.  A text that is the name of a column stands for that
column.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.exceptions
import jinja2.filters
import jinja2.sandbox

from lavra.base.errors import InputError
from lavra.tokens.chat import sandbox


def render_field(field: str | Callable[..., Any], row: Mapping[str, Any], columns: Collection[str], where: str) -> Any:
    """Render a field of a task file for a row, to a column's value, a function's result, or a template's text.

    Args:
        field: value of the field: a template, a column's name, or a function.
        row: row of data.
        columns: names that count as columns.
        where: name of the field and the row, for errors.

    Raises:
        InputError: the row lacks a column, or the template fails on it.
    """
    if callable(field):
        return _call(field, row, where)
    if field in columns:
        return _column(field, row, where)
    return render(field, row, where)


def render(template: str, row: Mapping[str, Any], where: str) -> str:
    """Render a template for a row.

    Raises:
        InputError: as in `render_field`.
    """
    try:
        return _compiled(template).render(**row)
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"{where}: is not valid Jinja in its line {error.lineno}: {error.message}") from error
    except jinja2.UndefinedError as error:
        raise InputError(f"{where}: {error.message}; the row has the columns {_listed(row)}") from error
    except jinja2.exceptions.SecurityError as error:
        raise InputError(f"{where}: uses an operation that templates may not use: {error}") from error
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{where}: fails on this row: {type(error).__name__}: {error}") from error


def literal(text: str, where: str) -> Any:
    """Parse the Python literal that a template wrote, as `['yes', 'no']`.

    Raises:
        InputError: the text is not a Python literal.
    """
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{where}: gives {text!r}, which is not a Python list or number") from error


def _call(function: Callable[..., Any], row: Mapping[str, Any], where: str) -> Any:
    try:
        return function(dict(row))
    except KeyError as error:
        raise InputError(f"{where}: the row lacks {error}; it has the columns {_listed(row)}") from error
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise InputError(f"{where}: fails on this row: {type(error).__name__}: {error}") from error


def _column(name: str, row: Mapping[str, Any], where: str) -> Any:
    if name not in row:
        raise InputError(f"{where}: the row lacks the column {name!r}; it has the columns {_listed(row)}")
    return row[name]


def _listed(row: Mapping[str, Any]) -> str:
    return ", ".join(map(str, row)) or "(none)"


def _regex_replace(string: str, pattern: str, repl: str, count: int = 0) -> str:  # templates name the arguments
    return re.sub(pattern, repl, string, count=count)


@lru_cache(maxsize=1)
def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = sandbox(undefined=jinja2.StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = False
    environment.keep_trailing_newline = True
    environment.filters["tojson"] = jinja2.filters.FILTERS["tojson"]
    environment.filters["regex_replace"] = _regex_replace
    return environment


@lru_cache(maxsize=4096)
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)
