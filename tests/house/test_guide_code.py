"""The Python of the guide's pages needs `import lavra` alone, and each name that it uses is there."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Iterator

import pytest

import lavra
from tests.house.pages import PAGES, blocks, section

CODE = {
    name: "".join(body for language, body in blocks(PAGES[name]) if language == "python") for name in section("Guide")
}
WITH_CODE = [name for name, code in CODE.items() if code]


def mistakes(code: str) -> Iterator[str]:
    """Sentences about imports, names, arguments and attributes of a page's code that are not there."""
    tree = ast.parse(code)
    yield from _imports(tree)
    yield from _unknown_names(tree)
    yield from _wrong_calls(tree)
    yield from _missing_attributes(tree)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        yield from (f"import of {module}" for module in modules if module.startswith("lavra."))


def _unknown_names(tree: ast.Module) -> Iterator[str]:
    nodes = list(ast.walk(tree))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    known = {node.id for node in names if isinstance(node.ctx, ast.Store)} | set(dir(builtins))
    known |= {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}
    known |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    known |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    yield from (f"unknown name {node.id}" for node in names if node.id not in known)
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    used = [node.attr for node in attributes if ast.unparse(node.value) == "lavra"]
    yield from (f"lavra.{name} is not there" for name in used if name not in lavra.__all__)


def _function(node: ast.expr) -> object:
    """The function of `lavra` that an expression calls, or None."""
    target = node.func if isinstance(node, ast.Call) else None
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "lavra":
        return getattr(lavra, target.attr, None)
    return None


def _wrong_calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and callable(function := _function(node)):
            named = {word.arg for word in node.keywords if word.arg}
            unknown = named - set(inspect.signature(function).parameters)
            yield from (f"{ast.unparse(node)}: unknown argument {name}" for name in sorted(unknown))


def _missing_attributes(tree: ast.Module) -> Iterator[str]:
    """Attributes of results: a name that was assigned from a function of `lavra` has its class."""
    classes: dict[str, list[type]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and callable(function := _function(node.value)):
            returned = str(inspect.signature(function).return_annotation)
            found = [getattr(lavra, name) for name in re.findall(r"\w+", returned) if name in lavra.__all__]
            classes |= {target.id: found for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owners = classes.get(node.value.id, [])
            if owners and not any(node.attr in {*dir(one), *inspect.get_annotations(one)} for one in owners):
                yield f"{node.value.id}.{node.attr} is not there"


@pytest.mark.parametrize("name", WITH_CODE)
def test_the_code_of_a_guide_page_uses_names_that_are_there(name: str) -> None:
    assert not list(mistakes(CODE[name]))


@pytest.mark.parametrize(
    ("code", "mistake"),
    [
        ("from lavra.base.card import read_card", "import of lavra.base.card"),
        ("import lavra\nlavra.tune('m')", "lavra.tune is not there"),
        ("import lavra\nprint(model)", "unknown name model"),
        ("import lavra\nlavra.finetune('m', 'd.csv', epoch=3)", "unknown argument epoch"),
        ("import lavra\nmodel = lavra.load('m')\nmodel.complete('x')", "model.complete is not there"),
        ("import lavra\nresult = lavra.finetune('m', 'd.csv', task='classify')\nresult.later", "result.later is not"),
    ],
)
def test_a_mistake_is_found(code: str, mistake: str) -> None:
    assert any(mistake in found for found in mistakes(code))


def test_a_page_without_mistakes_has_none() -> None:
    good = "import lavra\nresult = lavra.finetune('m', 'd.csv', task='classify')\nprint(result.after.value)\n"
    assert list(mistakes(good)) == []


def test_the_guide_shows_python() -> None:
    assert len(WITH_CODE) >= 3
