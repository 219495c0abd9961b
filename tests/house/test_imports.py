"""Asking for help, reading text and training a tokenizer must not pay for torch; the floors are what the page says."""

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
    """Everything in a package that can be imported (`__main__` runs when it is)."""
    paths = sorted(path for path in (LAVRA / package).rglob("*.py") if path.stem != "__main__")
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]


def loaded_by(names: list[str]) -> set[str]:
    """Top-level packages in `sys.modules` once the named modules are imported, in a fresh interpreter."""
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
    """Every module imports, and none brings what we compare ourselves with."""
    names = [name for folder in sorted(LAVRA.iterdir()) if folder.is_dir() for name in modules(folder.name)]
    assert loaded_by(names) & {"transformers", "accelerate", "peft", "trl", "sentencepiece", "pytest", "onnx"} == set()


def floors() -> list[set[str]]:
    """The packages on each floor, highest first, as import-linter is told."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "floors")
    return [set(layer.replace("lavra.", "").split(" | ")) for layer in layers]


def test_every_package_has_a_floor() -> None:
    packages = {path.name for path in LAVRA.iterdir() if (path / "__init__.py").exists()}
    assert set().union(*floors()) == packages


def numbered_floors() -> dict[int, set[str]]:
    """The packages on each floor by its number, as the page has them; no package stands on a planned floor."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", text, re.MULTILINE)
    return {int(number): set(re.findall(r"`(\w+)`", re.sub(r"\(?\*planned:\*.*", "", cell))) for number, cell in rows}


def test_the_page_and_the_contract_agree_on_the_floors() -> None:
    assert list(numbered_floors()) == list(range(14, -1, -1))
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
