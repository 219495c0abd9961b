"""`docs/modules.md` names every module of lavra, and the section Design of the documentation has the page."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from tests.house.pages import ROOT, section


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("module_index")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A tree of one package with one module."""
    package = tmp_path / "lavra" / "shapes"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""Floor 2: shapes."""\n')
    (package / "circle.py").write_text('"""A circle,\nby its radius.\n\nNo ellipses."""\n')
    return tmp_path


def test_the_page_is_up_to_date(index: ModuleType) -> None:
    page = index.PAGE.read_text(encoding="utf-8")
    assert page == index.page_of(ROOT), "run python scripts/module_index.py"


def test_every_module_stands_on_the_page(index: ModuleType) -> None:
    page = index.PAGE.read_text(encoding="utf-8")
    packages = {path for path in (ROOT / "lavra").iterdir() if (path / "__init__.py").is_file()}
    modules = [path for package in packages for path in package.rglob("*.py") if path.name != "__init__.py"]
    missing = [path for path in modules if f"`{path.name}` |" not in part(page, path.parent)]
    assert modules
    assert not missing


def part(page: str, folder: Path) -> str:
    """The table of one folder."""
    head = f"**`{folder.relative_to(ROOT).as_posix()}/`**"
    assert head in page
    return page.partition(head)[2].partition("**`lavra/")[0]


def test_the_page_is_in_the_section_design() -> None:
    assert "modules.md" in section("Design")


def test_a_line_is_the_first_paragraph_of_the_docstring(index: ModuleType, checkout: Path) -> None:
    page = index.page_of(checkout)
    assert "## shapes\n\n**`lavra/shapes/`** Floor 2: shapes." in page
    assert "| `circle.py` | A circle, by its radius. |" in page
    assert "ellipses" not in page


def test_a_module_without_a_docstring_is_refused(index: ModuleType, checkout: Path) -> None:
    (checkout / "lavra" / "shapes" / "square.py").write_text("SIDES = 4\n")
    with pytest.raises(ValueError, match=r"square\.py: begin the module with a docstring"):
        index.page_of(checkout)


def test_a_package_without_a_floor_is_refused(index: ModuleType, checkout: Path) -> None:
    (checkout / "lavra" / "shapes" / "__init__.py").write_text('"""Shapes."""\n')
    with pytest.raises(ValueError, match="Floor N"):
        index.page_of(checkout)
