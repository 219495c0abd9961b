"""The two READMEs agree, and the commands in them exist."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator

import pytest

from lavra.cli.main import VERBS
from tests.house.pages import PAGES, ROOT, blocks

ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
PORTUGUESE = (ROOT / "README.pt-BR.md").read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    """Lines of shell blocks, without comments."""
    lines = [
        line.partition("#")[0].strip()
        for language, body in blocks(text)
        if language == "sh"
        for line in body.splitlines()
    ]
    return [line for line in lines if line]


def headings(text: str) -> list[int]:
    return [
        len(marks)
        for marks in re.findall(
            r"^(#+) ", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
        )
    ]


def test_both_languages_have_one_shape() -> None:
    assert headings(ENGLISH) == headings(PORTUGUESE)
    assert [language for language, _ in blocks(ENGLISH)] == [language for language, _ in blocks(PORTUGUESE)]
    assert commands(ENGLISH) == commands(PORTUGUESE)


def test_both_languages_have_the_same_figures() -> None:
    def tables(text: str) -> list[list[str]]:
        """Numbers of each table row; the decimal sign differs between the languages."""
        return [
            re.findall(r"\d+(?:[.,]\d+)*", line.replace(",", ".")) for line in text.splitlines() if line.startswith("|")
        ]

    assert tables(ENGLISH) == tables(PORTUGUESE)


def test_python_examples_are_python() -> None:
    for name, text in PAGES.items():
        for language, body in blocks(text):
            if language == "python":
                compile(body, name, "exec")


def imported(text: str) -> Iterator[tuple[str, str]]:
    """(module, name) of each import from the package in a page's Python examples."""
    trees = [ast.parse(body) for language, body in blocks(text) if language == "python"]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lavra":
            yield from ((str(node.module), alias.name) for alias in node.names)


def names_in(module: str) -> set[str]:
    """Names that can be imported from a module: its own names, its imports, and the modules of a package."""
    place = ROOT.joinpath(*module.split("."))
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    found = {one.stem for one in place.iterdir()} if place.is_dir() else set()
    body = ast.parse(path.read_text(encoding="utf-8")).body if path.exists() else []
    lazily = [node for one in body if isinstance(one, ast.If) for node in one.body]  # `if TYPE_CHECKING:`
    for node in (*body, *lazily):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {one.id for one in targets if isinstance(one, ast.Name)}
    return found


@pytest.mark.parametrize("name", PAGES)
def test_imports_of_python_examples_exist(name: str) -> None:
    missing = [f"{module}: {one}" for module, one in imported(PAGES[name]) if one not in names_in(module)]
    assert not missing, f"{name} imports {', '.join(missing)}"


def test_a_name_that_is_not_there_is_found() -> None:
    page = "```python\nfrom lavra.base.card import read_card, read_cards\nfrom lavra.no import such\n```\n"
    assert [one for module, one in imported(page) if one not in names_in(module)] == ["read_cards", "such"]


def test_every_package_has_a_page() -> None:
    packages = {path.name for path in (ROOT / "lavra").iterdir() if (path / "__init__.py").exists()}
    pages = {"adapt": "adapters.md", "ground": "grounding.md"}
    assert [name for name in sorted(packages) if pages.get(name, f"{name}.md") not in PAGES] == []


@pytest.mark.parametrize("name", PAGES)
def test_scripts_and_targets_of_make_exist(name: str) -> None:
    for command in commands(PAGES[name]):
        words = command.split()
        words = [word for word in words if not re.fullmatch(r"[A-Z_]+=\S*", word)]
        if words and words[0].startswith("./"):
            assert os.access(ROOT / words[0], os.X_OK), command
        if words and words[0] == "make" and len(words) > 1:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command


@pytest.mark.parametrize("name", ["README.md", "README.pt-BR.md"])
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGES[name]):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_every_verb_is_shown_on_the_command_line_s_page() -> None:
    assert set(re.findall(r"^\| `(\S+)` \|", PAGES["cli.md"].partition("## ")[0], re.MULTILINE)) == set(VERBS)


def test_the_readme_is_short() -> None:
    assert len(ENGLISH.splitlines()) <= 100


def test_the_annotated_tree_is_the_tree() -> None:
    tree = next(body for language, body in blocks(ENGLISH) if language == "text" and "lavra/" in body)
    groups = [re.split(r"\s{2,}", line.strip())[0] for line in tree.splitlines() if line.startswith("  ")]
    shown = {name for group in groups for name in group.split()}
    packages = {path.name for path in (ROOT / "lavra").iterdir() if (path / "__init__.py").exists()}
    assert shown == packages
