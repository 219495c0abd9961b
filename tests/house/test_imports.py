"""Asking for help, reading text and training a tokenizer must not import torch; the floors match the page."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAVRA = ROOT / "lavra"


def modules(package: str) -> list[str]:
    """Every importable module of a package (`__main__` runs when it is imported)."""
    paths = sorted(path for path in (LAVRA / package).rglob("*.py") if path.stem != "__main__")
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]


def loaded_by(names: list[str]) -> set[str]:
    """Top-level packages in `sys.modules` after importing the named modules in a fresh interpreter."""
    code = """if True:
        import importlib, json, sys
        for name in sys.argv[1:]:
            importlib.import_module(name)
        print(json.dumps(list(sys.modules)))
    """
    result = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return {name.partition(".")[0] for name in json.loads(result.stdout.splitlines()[-1])}


def test_the_root_and_the_command_line_stay_light() -> None:
    heavy = {"torch", "transformers", "pyarrow", "matplotlib", "trafilatura"}
    assert loaded_by(["lavra", "lavra.cli.main"]) & heavy == set()


@pytest.mark.parametrize("package", ["base", "text", "tokens", "report"])
def test_lower_floors_never_load_torch(package: str) -> None:
    names = [name for name in modules(package) if name != "lavra.base.device"]
    assert len(names) > 1
    assert loaded_by(names) & {"torch", "transformers"} == set()


def test_nothing_loads_the_reference_libraries() -> None:
    """Every module imports, and none imports our reference libraries."""
    names = [name for folder in sorted(LAVRA.iterdir()) if folder.is_dir() for name in modules(folder.name)]
    references = {"transformers", "accelerate", "peft", "trl", "sentencepiece", "pytest", "onnx"}
    by_gguf = loaded_by(["gguf"])  # it looks for sentencepiece itself
    assert (loaded_by(names) - by_gguf) & references == set()


def floors() -> list[set[str]]:
    """Packages on each floor, highest first, from the settings of import-linter."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "floors")
    return [set(layer.replace("lavra.", "").split(" | ")) for layer in layers]


def test_every_package_has_a_floor() -> None:
    packages = {path.name for path in LAVRA.iterdir() if (path / "__init__.py").exists()}
    assert set().union(*floors()) == packages


def numbered_floors() -> dict[int, set[str]]:
    """Packages on each floor by its number, from the page; no package is on a planned floor."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", text, re.MULTILINE)
    return {int(number): set(re.findall(r"`(\w+)`", re.sub(r"\(?\*planned:\*.*", "", cell))) for number, cell in rows}


def test_the_page_and_the_contract_agree_on_the_floors() -> None:
    assert list(numbered_floors()) == list(range(15, -1, -1))
    assert [names for names in numbered_floors().values() if names] == floors()


@pytest.mark.parametrize(
    ("package", "floor"), [(name, floor) for floor, names in numbered_floors().items() for name in sorted(names)]
)
def test_a_package_and_its_page_say_their_floor(package: str, floor: int) -> None:
    docstring = ast.get_docstring(ast.parse((LAVRA / package / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert docstring.startswith(f"Floor {floor}: ")
    page = ROOT / "docs" / f"{package}.md"
    said = re.search(r"^Floor (\d+)", page.read_text(encoding="utf-8"), re.MULTILINE) if page.exists() else None
    assert said is None or int(said[1]) == floor


def faces() -> list[str]:
    """Packages whose `__init__` has more than a docstring; `lavra` itself is the public API."""
    found = []
    for path in sorted(LAVRA.rglob("__init__.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        if path.parent != LAVRA and (len(body) > 1 or ast.get_docstring(ast.Module(body, [])) is None):
            found.append(str(path.relative_to(ROOT)))
    return found


def test_a_package_passes_no_name_on() -> None:
    assert faces() == [], "an `__init__` is a docstring; names are imported from the modules that hold them"


def through_packages(tree: ast.Module) -> list[str]:
    """Imports of a name from a package of lavra instead of from its module."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lavra."):
            folder = ROOT / node.module.replace(".", "/")
            inside = {path.stem for path in folder.iterdir()} if (folder / "__init__.py").exists() else None
            if inside is not None:
                found += [f"{node.module}.{alias.name}" for alias in node.names if alias.name not in inside]
    return found


@pytest.mark.parametrize("place", ["lavra", "tests", "benchmarks", "scripts", "examples"])
def test_nothing_is_imported_through_a_package(place: str) -> None:
    of_its_time = ROOT / "tests" / "kept" / "make.py"  # it imports an older tree
    for path in set((ROOT / place).rglob("*.py")) - {of_its_time}:
        found = through_packages(ast.parse(path.read_text(encoding="utf-8")))
        assert not found, f"{path.relative_to(ROOT)} imports {found} through a package; name the module"


def test_an_import_through_a_package_is_found() -> None:
    tree = ast.parse("from lavra.train import loop, train\nfrom lavra.train.loop import train")
    assert through_packages(tree) == ["lavra.train.train"]
