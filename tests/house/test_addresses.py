"""Nothing reaches the network except links that a reader may click and PyTorch's CPU index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.torch_plan import CPU_INDEX

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("lavra", "tests", "docs", "scripts", "benchmarks", ".ci")
SUFFIXES = {"", ".py", ".md", ".sh", ".toml", ".lock", ".txt", ".yaml", ".yml", ".json", ".html", ".css"}
TEXTS = sorted(
    path
    for path in [*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts and path.name != ".git"
)
SET_UP = [
    "run",
    "test",
    "Makefile",
    ".ci/run",
    "pyproject.toml",
    "requirements.lock",
    "benchmarks/requirements.txt",
    ".pre-commit-config.yaml",
]
REGISTRIES = re.compile(r"pypi[.]org|pythonhosted[.]org|npmjs[.]|debian[.]org|conda[.](org|io)", re.IGNORECASE)
OPTIONS = re.compile(r"--(?:extra-)?index-url[= ]\S+|--find-links\S*|--trusted-host\S*")


def test_set_up_knows_one_address() -> None:
    scripts = [ROOT / name for name in SET_UP] + sorted((ROOT / "scripts").iterdir())
    found = {
        url
        for path in scripts
        if path.is_file()
        for url in re.findall(r"https?://[^\s\"')>]+", path.read_text(encoding="utf-8"))
    }
    assert found == {CPU_INDEX}


def test_no_file_names_a_package_registry() -> None:
    assert len(TEXTS) > 50
    assert [path.name for path in TEXTS if REGISTRIES.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("name", SET_UP)
def test_no_index_is_chosen_for_the_user(name: str) -> None:
    assert not OPTIONS.search((ROOT / name).read_text(encoding="utf-8"))
