"""The promises of CONTRIBUTING.md about the code, checked with the syntax tree."""

from __future__ import annotations

import ast
import statistics
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("lavra/**/*.py"), *ROOT.glob("scripts/*.py"), *ROOT.glob("benchmarks/*.py")])
VAGUE = {"utils", "util", "common", "helpers", "helper", "misc", "tools"}
MOST_LINES, MOST_FUNCTION_LINES, TYPICAL_FUNCTION_LINES = 400, 60, 10

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax tree, parsed once for all tests."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def functions(path: Path) -> list[Function]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, Function)]


def dotted(node: ast.expr) -> str:
    """`a.b` of an attribute of a name; empty for anything else."""
    known = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    return ast.unparse(node) if known else ""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_short_named_and_explained(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.stem not in VAGUE
    assert len(text.splitlines()) < MOST_LINES
    assert ast.get_docstring(tree(path)) or not text.strip()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_functions_are_short_and_hide_no_imports(path: Path) -> None:
    for function in functions(path):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        assert length <= MOST_FUNCTION_LINES, f"{function.name} has {length} lines"
        own = [
            node
            for node in ast.walk(function)
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lavra"
        ]
        assert not own, f"{function.name} imports {own[0].module}"


def test_a_function_is_ten_lines_at_most_typically() -> None:
    lengths = [(f.end_lineno or f.lineno) - f.lineno + 1 for path in FILES for f in functions(path)]
    assert statistics.median(lengths) <= TYPICAL_FUNCTION_LINES


def test_nothing_unpickles() -> None:
    """`torch.load` reads weights only; pickle and similar modules are not used."""
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and dotted(node.func) == "torch.load":
                options = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert options.get("weights_only") == "True", name(path)
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {"pickle", "cloudpickle", "dill", "joblib"}, name(
                    path
                )
