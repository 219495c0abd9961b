"""The list of mutants matches the tree, and its runner distinguishes killed mutants from survivors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.mutants import ROOT, Mutant, MutantError, check_entry, load_mutants, run

MUTANTS = load_mutants(ROOT / "tests" / "mutants")
HALF = Mutant(
    name="rounds up",
    file="half.py",
    text="number // 2",
    replacement="(number + 1) // 2",
    killed_by=("tests/test_half.py::test_odd",),
)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with one function and two tests, of which one looks at odd numbers."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # starts four times faster
    (tmp_path / "lavra").mkdir()
    (tmp_path / "lavra" / "__init__.py").touch()
    (tmp_path / "lavra" / "half.py").write_text("def half(number):\n    return number // 2\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_half.py").write_text(
        "from lavra.half import half\n"
        "def test_even():\n    assert half(4) == 2\n"
        "def test_odd():\n    assert half(5) == 2\n"
    )
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["slow: none"]\n')
    return tmp_path


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_entry_fits_the_tree(mutant: Mutant) -> None:
    check_entry(mutant, ROOT)


def test_a_mutant_is_killed_where_all_of_its_tests_fail(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unnoticed = replace(HALF, name="even only", killed_by=(*HALF.killed_by, "tests/test_half.py::test_even"))
    assert run([HALF, unnoticed], tree) == 1
    assert capsys.readouterr().out.splitlines() == [
        "killed    rounds up",
        "survived  even only tests/test_half.py::test_even",
    ]
    assert "number // 2" in (tree / "lavra" / "half.py").read_text()  # the tree itself is never touched


def test_a_mutant_that_cannot_be_imported_is_not_killed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([replace(HALF, replacement="number /")], tree) == 1
    assert capsys.readouterr().out.startswith("broken    rounds up: pytest ended with status")


def test_tests_must_pass_without_mutants(tree: Path) -> None:
    (tree / "lavra" / "half.py").write_text("def half(number):\n    return number // 2 + 1\n")
    with pytest.raises(MutantError, match=r"without any mutant.*\n.*test_odd"):
        run([HALF], tree)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "number"}, "stands 2 times"),
        ({"text": "number // 3"}, "stands 0 times"),
        ({"file": "third.py"}, "no file lavra/third.py"),
        ({"killed_by": ("tests/test_half.py::test_third",)}, "no test tests/test_half.py::test_third"),
        ({"killed_by": ("tests/test_third.py::test_odd",)}, "no test tests/test_third.py::test_odd"),
    ],
)
def test_an_entry_that_rotted_is_refused(tree: Path, change: dict, message: str) -> None:
    check_entry(HALF, tree)
    with pytest.raises(MutantError, match=message):
        check_entry(replace(HALF, **change), tree)


def test_names_are_unique_over_files(tmp_path: Path) -> None:
    entry = '[[mutant]]\nname = "a"\nfile = "f"\ntext = "t"\nreplacement = "r"\nkilled_by = ["x"]\n'
    for area in ("one", "two"):
        (tmp_path / f"{area}.toml").write_text(entry)
    with pytest.raises(MutantError, match="two mutants have this name"):
        load_mutants(tmp_path)
