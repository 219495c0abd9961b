"""Every public name of the package has a caller: the package, a benchmark, a script, or the documentation.

A public function, class or method that only tests call is deleted with its tests, or gets the caller that should use
it.  Only names are compared: a name with two meanings may hide an unused one, but no used name is ever reported.
Conformance suites exist for tests and are left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

import pytest

from tests.house.syntax import ROOT, read

# Names without a caller that stay, each with its reason.
ALLOWED = {
    "answer_intervals": "comparisons of evaluations need it next",
    "best_threshold": "comparisons of evaluations need it next",
    "classification_intervals": "comparisons of evaluations need it next",
    "entity_intervals": "comparisons of evaluations need it next",
    "multi_label_intervals": "comparisons of evaluations need it next",
    "regression_intervals": "comparisons of evaluations need it next",
    "data_received": "asyncio calls it with the bytes of a connection",
    "extra_repr": "torch asks modules for it",
    "tokenizer_name": "lm-evaluation-harness asks models for it",
}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def offered(module: ast.Module) -> Iterator[Definition]:
    """Public functions and classes of a module, and the public methods of these classes."""
    for node in module.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            inside = node.body if isinstance(node, ast.ClassDef) else []
            yield from (one for one in inside if isinstance(one, Definition) and not one.name.startswith("_"))


def mentioned(tree: ast.AST, *, importing: bool) -> Iterator[str]:
    """Names that code uses: variables, attributes, keywords, parts of dotted strings; imported names on request."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        if isinstance(node, ast.Attribute):
            yield node.attr
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w.:]+", node.value):
            yield from re.split(r"[.:]", node.value)
        if isinstance(node, ast.ImportFrom) and importing:
            yield from (alias.name for alias in node.names)


def used_by(modules: Iterable[ast.Module]) -> set[str]:
    """Names that a package uses; a re-export in `__all__` is no use, nor is a use inside the definition itself."""
    found: set[str] = set()
    for module in modules:
        for node in module.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                continue
            own = {node.name} if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else set()
            found |= set(mentioned(node, importing=False)) - own
    return found


def documented() -> set[str]:
    """Words in the code blocks and code spans of the documentation."""
    pages = [*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    code = [one for page in pages for one in re.findall(r"```.*?```|`[^`\n]+`", page.read_text("utf-8"), re.DOTALL)]
    return {word for one in code for word in re.findall(r"\w+", one)}


def named_in_task_files() -> set[str]:
    """Functions that task files name (`!function module.name`)."""
    files = (ROOT / "lavra").rglob("*.yaml")
    return {name for path in files for name in re.findall(r"!function \w+\.(\w+)", path.read_text("utf-8"))}


@pytest.fixture(scope="module")
def unused() -> set[str]:
    package = read("lavra")
    apart = [*read("benchmarks").values(), *read("scripts").values()]
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "lavra").rglob("*.html"))
    used = used_by(package.values()) | documented() | named_in_task_files() | set(re.findall(r"\w+", pages))
    used.update(name for module in apart for name in mentioned(module, importing=True))
    modules = [module for path, module in package.items() if path.parent.name != "testing"]
    return {node.name for module in modules for node in offered(module)} - used


def test_public_names_have_callers(unused: set[str]) -> None:
    left = unused - set(ALLOWED)
    assert not left, f"only tests use {sorted(left)}; delete them with their tests, or let who should call them do so"


def test_allowed_names_are_still_unused(unused: set[str]) -> None:
    assert not set(ALLOWED) - unused, "these have callers now, or are gone; strike them off the list"


def test_unused_names_are_found() -> None:
    module = ast.parse(
        "__all__ = ['dead']\n"
        "def dead(): return dead()\n"
        "def alive(): ...\n"
        "class Kind:\n"
        "    def silent(self): ...\n"
        "    def heard(self): ...\n"
        "def main(kind: Kind): alive(); kind.heard()\n"
    )
    assert {node.name for node in offered(module)} - used_by([module]) == {"dead", "silent", "main"}
