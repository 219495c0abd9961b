"""Every dependency has a reason, and every reason a dependency."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMPORT_NAMES = {"PyStemmer": "Stemmer", "PyYAML": "yaml", "faiss-cpu": "faiss", "python-docx": "docx"}
IN_PARTS = ("opentelemetry",)  # packages that install parts of one name
# Parts of what is declared, that it hands out: a type of jinja2's sandbox, and what fastapi is made of.
GIVEN = {"markupsafe", "pydantic", "starlette"}
FOR_DEVELOPERS = {"Extra `test`", "Extra `dev`"}


def declared() -> dict[str, set[str]]:
    """Package names by section of the page."""

    def names(texts: list[str]) -> set[str]:
        return {Requirement(text).name for text in texts if not text.startswith("lavra[")}

    extras = {f"Extra `{extra}`": names(texts) for extra, texts in PROJECT["project"]["optional-dependencies"].items()}
    peers = [
        line for line in (ROOT / "benchmarks" / "requirements.txt").read_text().splitlines() if not line.startswith("#")
    ]
    groups = set().union(*(names(texts) for texts in PROJECT["dependency-groups"].values()))
    return {
        "At run time": names(PROJECT["project"]["dependencies"]),
        **extras,
        "Benchmarks": names(peers),
        "Groups for set-up": groups,
    }


def explained() -> dict[str, set[str]]:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    rows = {
        section.splitlines()[0]: re.findall(r"^\| ([\w.-]+) \| (\S.+) \|$", section, re.MULTILINE)
        for section in sections
    }
    return {title: {name for name, _ in found if name != "package"} for title, found in rows.items() if found}


def test_the_page_and_the_project_agree() -> None:
    assert explained() == declared()


def imported() -> dict[str, Path]:
    """Third-party packages imported anywhere in lavra, each with a file that imports it."""
    found: dict[str, Path] = {}
    for path in (ROOT / "lavra").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            found.update({name.partition(".")[0]: path for name in names})
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | {"lavra"} | GIVEN}


def test_imported_and_declared_packages_are_the_same() -> None:
    extras = set().union(
        *(names for title, names in declared().items() if title.startswith("Extra") and title not in FOR_DEVELOPERS)
    )
    optional = {name.replace("-", "_") for name in extras}  # tensorboard through torch.utils.tensorboard
    optional |= {whole for whole in IN_PARTS if any(name.startswith(f"{whole}-") for name in extras)}
    runtime = {IMPORT_NAMES.get(name, name) for name in declared()["At run time"]}
    assert set(imported()) - optional == runtime
