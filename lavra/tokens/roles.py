"""Roles of messages: those that a chat template tells apart, and messages rewritten in those.

A template compares a message's role with the names of the roles that it knows.  A template that compares none writes
any role as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import jinja2.nodes as nodes

from lavra.base.errors import InputError, nearest
from lavra.tokens.chat import parsed_template

USUAL_ROLES: Final = ("system", "user", "assistant", "tool")
"""Roles that need not stand in a template: it refuses by itself those that it does not take."""


@lru_cache(maxsize=64)
def compared_roles(template: str) -> frozenset[str]:
    """Strings that a template compares a role with.

    Raises:
        InputError: the template is malformed.
    """
    found: set[str] = set()
    for compared in parsed_template(template).find_all(nodes.Compare):
        sides = [compared.expr, *(operand.expr for operand in compared.ops)]
        if any(_is_role(side) for side in sides):
            found.update(string for side in sides for string in _strings(side))
    return frozenset(found)


def _is_role(node: nodes.Expr) -> bool:
    if isinstance(node, nodes.Getattr):
        return node.attr == "role"
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and node.arg.value == "role"
    return isinstance(node, nodes.Name) and node.name == "role"


def _strings(node: nodes.Expr) -> Iterator[str]:
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield node.value
    if isinstance(node, nodes.List | nodes.Tuple):
        for item in node.items:
            yield from _strings(item)


def in_known_roles(messages: Sequence[Mapping[str, Any]], template: str) -> list[dict[str, Any]]:
    """Messages in the roles of a template: `developer` is the system's newer name, and is written as that.

    A developer's words behind the system's join them in one message, for templates take one.

    Raises:
        InputError: a role is neither a usual one nor the template's.
    """
    known = compared_roles(template)
    found: list[dict[str, Any]] = []
    for number, message in enumerate(messages, start=1):
        role = message["role"]
        if role == "developer" and role not in known:
            _add_system(found, {**message, "role": "system"})
        elif role in USUAL_ROLES or role in known:
            found.append(dict(message))
        else:
            raise InputError(_unknown(role, number, known))
    return found


def _add_system(found: list[dict[str, Any]], message: Mapping[str, Any]) -> None:
    if found and found[-1]["role"] == "system":
        found[-1]["content"] = f"{found[-1]['content']}\n\n{message['content']}"
    else:
        found.append(dict(message))


def _unknown(role: str, number: int, known: frozenset[str]) -> str:
    names = sorted(known if "user" in known else {*known, *USUAL_ROLES})  # not all are compared where any is written
    return (
        f"message {number} has the role {role!r}, which the chat template does not know{nearest(role, names)}; "
        f"it knows {', '.join(names)}"
    )
