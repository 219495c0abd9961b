"""The Python blocks of `docs/extending.md` are files of tests, and pytest passes each of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.pages import PAGES, ROOT, blocks

PAGE = PAGES["extending.md"]
EXAMPLES = ("family", "task", "finetuning-method", "metric", "benchmark", "vector-store", "runner", "verb")


def examples(page: str) -> dict[str, str]:
    """The Python block of each section, by the last words of its heading."""
    found = {}
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        name = re.sub(r"^An? (model )?", "", section.splitlines()[0]).replace(" ", "-")
        found.update((name, body) for language, body in blocks(section) if language == "python")
    return found


def run(folder: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run each block as a file of its own."""
    for name, block in files.items():
        (folder / f"test_{name.replace('-', '_')}_example.py").write_text(block, encoding="utf-8")
    options = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir"]
    command = [sys.executable, "-m", "pytest", *options, str(folder), str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_each_kind_has_an_example() -> None:
    assert tuple(examples(PAGE)) == EXAMPLES


def test_the_examples_pass(tmp_path: Path) -> None:
    done = run(tmp_path, examples(PAGE))
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_broken_example_fails(tmp_path: Path) -> None:
    store = examples(PAGE)["vector-store"]
    broken = store.replace("self.kept.pop(id, None)", "pass")
    assert broken != store
    done = run(tmp_path, {"vector-store": broken})
    assert done.returncode == 1, done.stdout[-3000:]
    assert "deleted" in done.stdout


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:lavra|tests|native|scripts)/[\w/.]+)`", PAGE))))
def test_named_files_exist(path: str) -> None:
    assert "NAME" in path or "FOLDER" in path or (ROOT / path).exists()
