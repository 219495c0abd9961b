"""Rules between the package's modules, checked by their syntax: no import cycles, and one meaning for each name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.house.syntax import ROOT, read

# Makers of types that no value ever has: `T` may stand in many modules, as in the standard library's own stubs.
TYPE_VARIABLES = {"TypeVar", "ParamSpec", "TypeVarTuple"}


@pytest.fixture(scope="module")
def tree() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): module
        for path, module in read("lavra").items()
    }


def imports(module: ast.Module, known: Iterable[str]) -> Iterator[str]:
    """Imports of a module anywhere: at the top, in functions, for the type checker, by a literal name.

    `from package import name` imports the submodule where there is one of that name, else the package itself, whose
    `__init__` passes the name on.  That Python runs the packages above a module before the module is not counted.
    """
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in inside)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (one.value for one in node.args[:1] if isinstance(one, ast.Constant))


def cycle(tree: Mapping[str, ast.Module]) -> list[str]:
    """Modules that import one another in a circle, the first repeated at the end; empty without a circle."""
    graph = {
        name: sorted({one for one in imports(module, tree) if one in tree and one != name})
        for name, module in tree.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_modules_do_not_import_one_another_in_a_circle(tree: dict[str, ast.Module]) -> None:
    found = cycle(tree)
    assert not found, f"{' imports '.join(found)}; move what they share below them"


@pytest.mark.parametrize(
    "back",
    [
        "import p.a",
        "from p import a",
        "from p.a import X",
        "from p import X",  # the package passes it on
        "if TYPE_CHECKING:\n    from p.a import X",
        "def f():\n    from p.a import X",
        "def f():\n    return importlib.import_module('p.a')",
    ],
)
def test_a_circle_is_found_however_it_is_closed(back: str) -> None:
    sources = {"p": "from p.a import X", "p.a": "from p.b import Y", "p.b": back}
    tree = {name: ast.parse(source) for name, source in sources.items()}
    assert set(cycle(tree)) == ({"p", "p.a", "p.b"} if back == "from p import X" else {"p.a", "p.b"})
    assert cycle(tree | {"p.b": ast.parse("from q.a import X")}) == []


def public_types(module: ast.Module) -> Iterator[str]:
    """Public classes and type aliases at the top of a module: names in CamelCase, without type variables."""
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        if isinstance(node, ast.Assign) and not _makes_a_variable(node.value):
            yield from (one.id for one in node.targets if isinstance(one, ast.Name) and _is_camel(one.id))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_camel(node.target.id):
            yield node.target.id


def _makes_a_variable(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in TYPE_VARIABLES


def _is_camel(name: str) -> bool:
    return name[0].isupper() and (not name.isupper() or len(name) == 1)


def repeated(tree: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Public names of types that are in several modules, with these modules."""
    homes = defaultdict(list)
    for name, module in tree.items():
        for found in public_types(module):
            if not found.startswith("_"):
                homes[found].append(name)
    return {name: where for name, where in homes.items() if len(where) > 1}


def test_a_public_type_stands_once_in_the_tree(tree: dict[str, ast.Module]) -> None:
    found = repeated(tree)
    assert not found, f"{found}: one name, two meanings; name each by what it is"


def test_a_name_that_stands_twice_is_found_however_it_is_made() -> None:
    made = ["class Row: ...", "Row = tuple[int, ...]", "Row: TypeAlias = int", 'Row = NewType("Row", int)']
    for one in made:
        assert repeated({"a": ast.parse(one), "b": ast.parse("class Row: ...")}) == {"Row": ["a", "b"]}
    for other in ("class _Row: ...", "ROW = 1", 'Row = TypeVar("Row")', "def Row(): ...", "from a import Row"):
        assert repeated({"a": ast.parse("class Row: ..."), "b": ast.parse(other)}) == {}
