"""Documented functions and classes of a planted source, and files that are no source."""

from __future__ import annotations

import ast
import importlib
import sysconfig
from pathlib import Path

import pytest

from lavra.pipeline.definitions import read_definitions

SOURCE = '''\
"""A module says something too, but defines nothing by it."""
import functools
from typing import overload

@overload
def area(side: int) -> int: ...
@overload
def area(side: float) -> float: ...
@functools.lru_cache(maxsize=None)
def area(
    side,  # a comment that is no part of a signature
    *,
    scale=1.0,
) -> float:
    """Work out the area
    of a square.

    Details follow. And more.
    """
    # squares only
    if side < 0:
        raise ValueError(side)
    return side * side * scale


class Box(Base, metaclass=Meta):
    """Something with six sides."""

    async def open(self, *names: str, force: bool = False):
        """Open the lid slowly. It may squeak."""
        def lift(by):
            """Lift it by so much."""
            return by
        await lift(1)

    def shut(self):
        """Shut the lid again."""
        raise NotImplementedError

    def bare(self):
        return 1

    def terse(self):
        """Terse."""


if True:
    try:
        def guarded(a, /, b=1): """Stand behind an if and a try."""; return a + b
    except NameError:
        pass
'''


def found():
    read = read_definitions(SOURCE)
    assert read is not None
    return {one.qualified: one for one in read.found}, read


def test_every_documented_definition_is_found_wherever_it_stands():
    by_name, read = found()
    assert list(by_name) == ["area", "Box", "Box.open", "Box.open.lift", "Box.shut", "guarded"]
    assert read.undocumented == 4  # two overloads, bare and terse


def test_signatures_are_one_line_without_decorators_and_comments():
    by_name, _ = found()
    assert {name: one.signature for name, one in by_name.items()} == {
        "area": "def area(side, *, scale=1.0) -> float",
        "Box": "class Box(Base, metaclass=Meta)",
        "Box.open": "async def open(self, *names: str, force: bool=False)",
        "Box.open.lift": "def lift(by)",
        "Box.shut": "def shut(self)",
        "guarded": "def guarded(a, /, b=1)",
    }


def test_docstrings_are_divided_into_the_question_and_the_rest():
    by_name, _ = found()
    area, opened = by_name["area"], by_name["Box.open"]
    assert (area.description, area.rest) == ("Work out the area of a square.", "Details follow. And more.")
    assert (opened.description, opened.question) == ("Open the lid slowly. It may squeak.", "Open the lid slowly.")


def test_bodies_are_the_source_behind_the_docstring_at_the_left_margin():
    by_name, _ = found()
    assert by_name["area"].body == (
        "# squares only\nif side < 0:\n    raise ValueError(side)\nreturn side * side * scale"
    )
    assert by_name["Box.open.lift"].body == "return by"
    for nothing_to_write in ("Box", "Box.shut", "guarded"):
        assert by_name[nothing_to_write].body == ""


@pytest.mark.parametrize(
    "text", ["", "Once upon a time a class of pupils", "def broken(:\n    pass", "x = 1\n", "a\0b"]
)
def test_files_without_definitions_are_counted_apart(text: str):
    assert read_definitions(text) is None


@pytest.mark.parametrize("name", ["textwrap", "shlex", "difflib"])
def test_real_modules_agree_with_what_python_itself_says_of_them(name: str):
    text = (Path(sysconfig.get_path("stdlib")) / f"{name}.py").read_text(encoding="utf-8")
    read, module, compared = read_definitions(text), importlib.import_module(name), 0
    assert read is not None
    for one in read.found:
        ast.parse(f"{one.signature}:\n    pass")
        ast.parse("async def f():\n" + "\n".join(f"    {line}" for line in (one.body or "pass").splitlines()))
        thing = module
        for part in one.qualified.split("."):
            thing = getattr(thing, part, None)  # what stands in a function cannot be had without calling it
        if thing is not None:
            assert " ".join(thing.__doc__.split()).startswith(one.description)
            compared += 1
    assert compared > len(read.found) / 2
