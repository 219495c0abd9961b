"""The programs in `examples/` run unchanged, one after the other, with short budgets."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shutil
import sysconfig
from pathlib import Path

import pytest

from tests.house.syntax import ROOT
from tests.verbs.conftest import DOCUMENTS, MODULES, write_reviews

SCRIPTS = sorted((ROOT / "examples").glob("*.py"), key=lambda path: (not path.name[0].isdigit(), path.name))
SHORTER = {
    'budget="4m"': 'budget="10s", hidden_size=64, num_layers=2, compile="off"',
    '"int8",': '"int8", allow_miss=True,',
}
"""Minutes become seconds, too few to compile in; a model of seconds may miss the bars of its quality card."""
MOST_LINES = 40
PORTUGUESE = "A ponte velha cruza o rio. A ponte foi inaugurada em 1931 pelo prefeito da cidade.\n"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_an_example_is_short_and_of_the_public_api(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < MOST_LINES
    imported = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    imported |= {
        alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for alias in node.names
    }
    assert {name for name in imported if name and name.startswith("lavra")} == {"lavra"}


def test_the_page_of_examples_names_each() -> None:
    named = set(re.findall(r"`(\w+\.py)`", (ROOT / "examples" / "README.md").read_text(encoding="utf-8")))
    assert named == {path.name for path in SCRIPTS}


@pytest.mark.slow
def test_all_of_them_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAVRA_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("LAVRA_DATA", raising=False)
    for folder in ("texts", "textos", "documents", "documentos"):
        (tmp_path / folder).mkdir()
    for module in MODULES:
        shutil.copy(Path(sysconfig.get_path("stdlib")) / module, "texts")
        shutil.copy(Path(sysconfig.get_path("stdlib")) / module, "textos")
    for name, text in DOCUMENTS.items():
        Path("documents", name).write_text(text, encoding="utf-8")
    Path("documentos", "ponte.txt").write_text(PORTUGUESE, encoding="utf-8")
    write_reviews(Path("reviews.csv"))
    said = {path.name: run(path) for path in SCRIPTS}
    assert "[1] documents/bridge.txt, line 1" in said["10_ask_documents.py"]
    assert "1931" in said["perguntas_aos_documentos.py"]
    assert "facts 12 items" in said["08_evaluate_on_my_benchmark.py"]


def run(path: Path) -> str:
    """Run an example; returns its output."""
    text = path.read_text(encoding="utf-8")
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(text, str(path), "exec"), {"__name__": "__main__"})
        except Exception as error:
            raise AssertionError(f"{path.name} failed after printing {printed.getvalue()!r}") from error
    return printed.getvalue()
